"""Remembers the posts of the instructions in flight and makes them when the engine reports them done."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.isa import COUNT_BITS, SEMAPHORE_BITS
from ..common.streams import Fifo, connect_streams
from .decode import INDEX_WIDTH, channels
from .semaphores import POSTS, SemaphorePost

#: Instructions of one kind that may be in flight.
IN_FLIGHT = 8


def posts_layout() -> data.StructLayout:
    """What happens when an instruction is done: two posts (none where the count is 0); `index` is the instruction's."""
    post = data.StructLayout({"semaphore": SEMAPHORE_BITS, "count": COUNT_BITS})
    return data.StructLayout({"post0": post, "post1": post, "index": INDEX_WIDTH})


class Completion(wiring.Component):
    """A queue of posts for each kind of instruction, `IN_FLIGHT` deep; the oldest of a kind is made by its `done` pulse.

    Latency: the posts are pulsed in the cycle of `done`. An engine with two kinds of instructions may report both done in one cycle: the
    older instruction then posts at once and the other in the next cycle in which it is the oldest that is done. Throughput: one
    instruction a cycle. A `done` without an instruction of its kind in flight is ignored. Reset empties the queues.

    Parameters
    ----------
    engine : str

    Members
    -------
    i_NAME : In(stream of posts_layout), done_NAME : In(1), for each instruction of the engine
        `done_NAME` comes at the earliest in the cycle after the transfer.
    post : array of Out(SemaphorePost)
    o_retire : Out(1)
        An instruction has completed and posts in this cycle.
    o_overflow : Out(1)
        One of these posts overflows: the first that does is of semaphore `o_semaphore`.
    o_index : Out(32)
        The instruction that posts.
    o_inflight : Out(1)
        Some instruction has not posted yet; the oldest of them is `o_oldest`.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, engine: str) -> None:
        self._channels = channels(engine)
        members: dict[str, Any] = {
            "post": Out(SemaphorePost()).array(POSTS),
            "o_retire": Out(1),
            "o_overflow": Out(1),
            "o_semaphore": Out(SEMAPHORE_BITS),
            "o_index": Out(INDEX_WIDTH),
            "o_inflight": Out(1),
            "o_oldest": Out(INDEX_WIDTH),
        }
        for name in self._channels:
            members[f"i_{name}"] = In(stream.Signature(posts_layout()))
            members[f"done_{name}"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        queues, due = [], []
        for name in self._channels:
            m.submodules[name] = queue = Fifo(shape=posts_layout(), depth=IN_FLIGHT)
            connect_streams(m, getattr(self, f"i_{name}"), queue.i)
            # Dones whose posts could not be made in their own cycle.
            late, ready = Signal(range(IN_FLIGHT + 1), name=f"late_{name}"), Signal(name=f"due_{name}")
            done = Signal(name=f"counted_{name}")
            m.d.comb += [done.eq(getattr(self, f"done_{name}") & (queue.level != late)), ready.eq(done | (late != 0))]
            m.d.sync += late.eq(late + done - (queue.o.valid & queue.o.ready))
            queues.append(queue)
            due.append(ready)
        head = Signal(posts_layout())
        oldest = self._oldest(m, queues, Cat(due), "due")
        for queue, chosen in zip(queues, oldest, strict=True):
            m.d.comb += queue.o.ready.eq(chosen)
            with m.If(chosen):
                m.d.comb += [head.eq(queue.o.payload), self.o_retire.eq(1)]
        m.d.comb += self.o_index.eq(head.index)
        self._post(m, head)
        present = Cat(queue.o.valid for queue in queues)
        m.d.comb += self.o_inflight.eq(present.any())
        for queue, chosen in zip(queues, self._oldest(m, queues, present, "present"), strict=True):
            with m.If(chosen):
                m.d.comb += self.o_oldest.eq(queue.o.payload.index)
        return m

    def _oldest(self, m: Module, queues: list[Any], candidates: Value, name: str) -> list[Signal]:
        """One-hot: the candidate with the lowest index."""
        result = []
        for number, queue in enumerate(queues):
            younger = [
                ~candidates[other] | (queue.o.payload.index < queues[other].o.payload.index)
                for other in range(len(queues)) if other != number
            ]  # fmt: skip
            chosen = Signal(name=f"oldest_{name}_{self._channels[number]}")
            m.d.comb += chosen.eq(candidates[number] & Cat(younger, 1).all())
            result.append(chosen)
        return result

    def _post(self, m: Module, head: Any) -> None:
        for slot in range(POSTS):
            port, post = self.post[slot], head[f"post{slot}"]
            m.d.comb += [
                port.valid.eq(self.o_retire & (post.count != 0)),
                port.semaphore.eq(post.semaphore),
                port.count.eq(post.count),
            ]
        over = [port.valid & port.overflow for port in self.post]
        m.d.comb += [
            self.o_overflow.eq(Cat(over).any()),
            self.o_semaphore.eq(Mux(over[0], head.post0.semaphore, head.post1.semaphore)),
        ]
