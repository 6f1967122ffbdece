"""Remembers the posts of the instructions in flight and makes them when the engine reports them done."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
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

    An instruction that is done comes to the head, the oldest first where two are; there it offers its posts until both are answered, and
    retires. One behind the instruction at which the engine has halted (`i_halted`, `i_halt_index`) neither posts nor retires: it is dropped.

    Latency: the posts are offered two cycles after `done`; an instruction retires in the cycle of the last answer, one without posts two
    cycles after `done`. Of two kinds that are done, the older is known a cycle after the later of the two came to the front of its queue; until then neither
    comes to the head. Throughput: one instruction in two cycles if posts are answered at once: the head is empty for a cycle, so that the queues depend on
    flip-flops alone. A `done` goes to a flip-flop and is ignored if in the cycle after it no instruction of its kind is in flight. Reset empties the queues.

    Parameters
    ----------
    engine : str

    Members
    -------
    i_NAME : In(stream of posts_layout), done_NAME : In(1), for each instruction of the engine
        `done_NAME` comes at the earliest in the cycle of the transfer.
    post : array of Out(SemaphorePost)
    i_halted : In(1), i_halt_index : In(32)
        The engine has halted at this instruction: where it overflowed, at the latest two cycles after it retired.
    i_abandon : In(1)
        What is not done yet will never be.
    o_retire : Out(1)
        An instruction has completed and made its posts.
    o_overflow : Out(1)
        With `o_retire`: one of these posts has overflowed; the first that did is of semaphore `o_semaphore`.
    o_index : Out(32)
        The instruction that retires.
    o_undone : Out(32)
        The oldest instruction that is not done, of an engine with one kind of instruction: how many were done before this cycle, since reset.
    o_inflight : Out(1)
        Some instruction has not retired yet and may, that of a transfer of this cycle included.
    o_oldest : Out(32)
        The oldest of them, once nothing has come or gone for four cycles.
    o_retired : Out(32)
        How many have retired.

    Raises
    ------
    ValueError
        if there is no such engine.
    """

    def __init__(self, *, engine: str) -> None:
        self._channels = channels(engine)
        members: dict[str, Any] = {
            "post": Out(SemaphorePost()).array(POSTS),
            "i_halted": In(1),
            "i_halt_index": In(INDEX_WIDTH),
            "i_abandon": In(1),
            "o_retire": Out(1),
            "o_overflow": Out(1),
            "o_semaphore": Out(SEMAPHORE_BITS),
            "o_index": Out(INDEX_WIDTH),
            "o_undone": Out(INDEX_WIDTH),
            "o_inflight": Out(1),
            "o_oldest": Out(INDEX_WIDTH),
            "o_retired": Out(INDEX_WIDTH),
        }
        for name in self._channels:
            members[f"i_{name}"] = In(stream.Signature(posts_layout()))
            members[f"done_{name}"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        queues, due, counted = [], [], []
        for name in self._channels:
            m.submodules[name] = queue = Fifo(shape=posts_layout(), depth=IN_FLIGHT)
            connect_streams(m, getattr(self, f"i_{name}"), queue.i)
            # Dones whose instruction has not come to the head. A done comes from far away: it is looked at in the cycle after.
            late, ready = Signal(range(IN_FLIGHT + 1), name=f"late_{name}"), Signal(name=f"due_{name}")
            came, done = Signal(name=f"came_{name}"), Signal(name=f"counted_{name}")
            m.d.comb += [done.eq(came & (queue.level != late)), ready.eq((late != 0) | (came & queue.o.valid))]
            m.d.sync += [came.eq(getattr(self, f"done_{name}")), late.eq(late + done - (queue.o.valid & queue.o.ready))]
            queues.append(queue)
            due.append(ready)
            counted.append(done)
        head, full, leaves = Signal(posts_layout()), Signal(), Signal()
        todo = Signal(POSTS)
        chosen_of, is_first_older = self._oldest(m, queues, due)
        # One kind is done in order, so its instructions need no index of their own.
        m.d.comb += self.o_index.eq(head.index if len(queues) > 1 else self.o_retired)
        self._post(m, head, full, leaves, todo)
        m.d.comb += [queue.o.ready.eq(chosen & ~full) for queue, chosen in zip(queues, chosen_of, strict=True)]
        m.d.sync += full.eq(Mux(full, ~leaves, Cat(chosen_of).any()))
        # An empty head shows what may come to it next.
        with m.If(~full):
            first, last = queues[0].o.payload, queues[-1].o.payload
            posts = data.View(posts_layout(), Mux(chosen_of[0], first, last) if len(queues) > 1 else Value.cast(first))
            m.d.sync += [head.eq(posts), todo.eq(Cat(posts[f"post{slot}"].count != 0 for slot in range(POSTS)))]
        m.d.sync += self.o_retired.eq(self.o_retired + self.o_retire)
        present, coming = Cat(queue.o.valid for queue in queues), Cat(queue.i.valid for queue in queues)
        m.d.comb += self.o_inflight.eq(full | Mux(self.i_abandon, Cat(due).any(), (present | coming).any()))
        if len(queues) == 1:
            undone = Signal(INDEX_WIDTH)
            m.d.comb += [self.o_undone.eq(Mux(counted[0], undone + 1, undone)), self.o_oldest.eq(self.o_retired)]
            m.d.sync += undone.eq(self.o_undone)
        else:
            front, is_head_older = Signal(INDEX_WIDTH), Signal()
            m.d.sync += [
                front.eq(Mux(present[0] & (~present[1] | is_first_older), queues[0].o.payload.index, queues[1].o.payload.index)),
                is_head_older.eq(head.index < front),
                self.o_oldest.eq(Mux(full & (~present.any() | is_head_older), head.index, front)),
            ]
        return m

    @staticmethod
    def _oldest(m: Module, queues: list[Any], due: list[Signal]) -> tuple[list[Value], Value]:
        """One-hot: the kind to come to the head; and whether that of the first queue is older, where both have one and none has left."""
        if len(queues) == 1:
            return [due[0]], Const(1)
        first, last = queues
        is_first_older, is_known = Signal(), Signal()
        m.d.sync += [
            is_first_older.eq(first.o.payload.index < last.o.payload.index),
            is_known.eq(first.o.valid & last.o.valid & ~(first.o.ready | last.o.ready)),
        ]
        chosen = [
            due[0] & (~due[1] | (is_known & is_first_older)),
            due[1] & (~due[0] | (is_known & ~is_first_older)),
        ]
        return chosen, is_first_older

    def _post(self, m: Module, head: Any, full: Signal, leaves: Signal, todo: Signal) -> None:
        """Offers the posts of the head, collects the answers."""
        # Whether the head is behind the halt is known a cycle after either: until then it stands still.
        is_kept, is_dropped, is_open, is_answered = Signal(), Signal(), Signal(), Signal()
        over, refused = Signal(POSTS), Signal(POSTS)
        is_judged, is_behind = full & ~leaves & self.i_halted, self.o_index > self.i_halt_index
        m.d.sync += [is_kept.eq(is_judged & ~is_behind), is_dropped.eq(is_judged & is_behind)]
        m.d.comb += is_open.eq(full & (~self.i_halted | is_kept))
        for slot in range(POSTS):
            port, post = self.post[slot], head[f"post{slot}"]
            m.d.comb += [
                port.valid.eq(is_open & todo[slot]),
                port.semaphore.eq(post.semaphore),
                port.count.eq(post.count),
                refused[slot].eq(over[slot] | (todo[slot] & port.ready & port.overflow)),
            ]
            # An answer counts even if the engine halts in the cycle in which it comes.
            with m.If(full & port.ready):
                m.d.sync += [todo[slot].eq(0), over[slot].eq(refused[slot])]
            with m.If(~full):
                m.d.sync += over[slot].eq(0)
        m.d.comb += [
            is_answered.eq((todo & ~Cat(port.ready for port in self.post)) == 0),
            self.o_retire.eq(is_open & is_answered),
            leaves.eq(self.o_retire | is_dropped),
            self.o_overflow.eq(self.o_retire & refused.any()),
            self.o_semaphore.eq(Mux(refused[0], head.post0.semaphore, head.post1.semaphore)),
        ]
