"""The faults `scripts/faults.py` seeds: an edit of the sources each, and the cheapest check that catches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault: its name, what is wrong with the hardware, the file, its edits (old text, which must stand there once, and new), and the check."""

    name: str
    doc: str
    file: str
    edits: tuple[tuple[str, str], ...]
    check: str


def _fault(name: str, doc: str, file: str, old: str, new: str, check: str, *more: tuple[str, str]) -> Fault:
    return Fault(name=name, doc=doc, file=f"hw/noc/{file}.py", edits=((old, new), *more), check=check)


_QUEUE = "test tests/unit/test_vc_queue.py"
_ARBITER = "test tests/unit/test_noc_arbiter.py"
_OUTPUT = "test tests/unit/test_vc_arbiter.py"
_ROUTER = "test tests/unit/test_router.py"
_INJECTOR = "test tests/unit/test_injector.py"
_GOLDEN = "test tests/golden/test_router.py"
_CHOICE = "test tests/unit/test_adaptive_choice.py"
_TRAFFIC = "sim router lean random_traffic"

FAULTS: tuple[Fault, ...] = (
    # Queues and credits
    _fault("pointer_does_not_wrap", "a queue whose depth is no power of two runs past its end", "vc_queue",
           "Mux(pointer == depth - 1, 0, pointer + 1)", "pointer + 1", _QUEUE),
    _fault("level_off_by_one", "a queue with one flit left believes it has two", "vc_queue", "self.level > 2 if", "self.level > 1 if", _QUEUE),
    _fault("head_duplicated", "a head that leaves while a flit arrives is offered again", "vc_queue",
           "with m.If(self.leave):\n            m.d.sync += self.consume",
           "with m.If(self.leave & ~self.arrive):\n            m.d.sync += self.consume", _QUEUE),
    _fault("valid_falls_late", "an emptied queue stays valid for a cycle", "vc_queue",
           "self.valid.eq(more | self.arrive)", "self.valid.eq(more | self.arrive | self.leave)", _QUEUE),
    _fault("lost_credit", "a credit that returns in the cycle of a departure is lost", "credits",
           "m.Elif(self.spent & ~self.returned)", "m.Elif(self.spent)", _QUEUE),
    _fault("credit_leak", "a credit that returns in the cycle of a departure counts twice", "credits",
           "m.If(self.returned & ~self.spent)", "m.If(self.returned)", _QUEUE),
    _fault("credit_on_arrival", "a credit goes back when a flit comes instead of when it leaves", "input_port",
           "credit[vc].eq(queue.leave)", "credit[vc].eq(queue.arrive)", _ROUTER),
    _fault("link_loses_credits", "a longer link forwards no credits", "link", "next_credit.eq(credit)", "next_credit.eq(0)", _QUEUE),
    # Arbiters
    _fault("stuck_arbiter", "who was served does not go last", "arbiter",
           "with m.If(self.served[i]):", "with m.If(self.served[i] & 0):", _ARBITER),
    _fault("weights_not_reloaded", "a class of service that has used up its share gets none again", "weighted",
           "left.eq(weight - self.served[i])", "left.eq(0)", _ARBITER),
    _fault("age_overflow", "stamps are compared as plain numbers: after a wrap young packets look old", "age",
           " - reference + (1 << (bits - 1)))", ")", _ARBITER),
    _fault("lock_kept", "the tail does not release the VC", "vc_arbiter", "may.eq(self.win | ends.replicate(self._inputs))", "may.eq(self.win)", _OUTPUT),
    _fault("lock_not_taken", "other packets may come between the flits of one", "vc_arbiter",
           "may.eq(self.win | ends.replicate(self._inputs))", "may.eq(self.win | ~self.win)", _OUTPUT),
    _fault("lock_without_reset", "a VC taken before a reset stays taken", "vc_arbiter",
           "self.may = Signal(inputs, ", "self.may = Signal(inputs, reset_less=True, ", "sim router lean reset_in_traffic"),
    # Output ports
    _fault("valid_glitch", "the link is valid for a cycle after each burst", "output_port",
           "self.o.hop.valid.eq(ready.any()),", "self.o.hop.valid.eq(ready.any() | burst),", _OUTPUT,
           ("        start = 0\n", "        start = 0\n        burst = Signal()\n        m.d.sync += burst.eq(ready.any())\n")),
    _fault("inverted_up", "flits are sent while the link is down and only then", "output_port",
           "ready[position].eq(arbiter.some & counter.available & self.o.up)", "ready[position].eq(arbiter.some & counter.available & ~self.o.up)", _ROUTER),
    _fault("credit_of_any_vc", "a credit counts for every VC", "output_port",
           "counter.returned.eq(self.o.credit[vc])", "counter.returned.eq(self.o.credit.any())", _OUTPUT),
    _fault("swapped_vc", "flits are sent under the number of another VC", "output_port",
           "Const(vc, config.vc_bits) for vc in", "Const(vc ^ 1, config.vc_bits) for vc in", _ROUTER),
    # Ways
    _fault("misrouted_turn", "flits turn north instead of south and south instead of north", "routing/dimension_order",
           "= arrived & up, arrived & down,", "= arrived & down, arrived & up,", _ROUTER),
    _fault("route_not_advanced", "the next router gets the route of this one", "input_port",
           "self.routes[way].eq(self._lookahead(m, hop, queue))", "self.routes[way].eq(queue.head.route)", _ROUTER),
    _fault("wrong_neighbour", "the route at the eastern neighbour is worked out for this router", "router",
           "place.east.eq(around(self.x, 1, config.mesh_x))", "place.east.eq(self.x)", _ROUTER),
    _fault("payload_bit_stuck", "bit 17 of every payload arrives as 0", "input_port",
           "self.flits[vc].eq(queue.head),\n", "self.flits[vc].eq(queue.head),\n                self.flits[vc].payload[17].eq(0),\n", _TRAFFIC),
    _fault("dateline_bit_not_set", "packets that cross a dateline keep their VC", "routing/base",
           "Hop(out, after, When.DATELINE)", "Hop(out, before, When.DATELINE)", _GOLDEN),
    _fault("escape_not_atomic", "a packet enters an adaptive VC behind the tail of another", "adaptive_choice",
           "((count == depth) | (self.head.tail & (count != 0)))", "(count != 0)", _CHOICE),
    # Injectors
    _fault("tail_dropped", "the last flit of a longer packet is not marked", "injector",
           "flit.tail.eq(i.payload.tail)", "flit.tail.eq(i.payload.tail & ~inside)", _INJECTOR),
    _fault("vc_changes_in_packet", "the flits behind a head go in on another VC", "injector",
           "Mux(inside, kept_vc, head_vc)", "Mux(inside, kept_vc ^ 1, head_vc)", _INJECTOR),
    _fault("injector_counts_any_vc", "a flit costs a credit of every VC", "injector",
           "counter.spent.eq(hop.valid & (hop.vc == vc))", "counter.spent.eq(hop.valid)", _INJECTOR),
    _fault("stamp_of_each_flit", "the flits of a packet carry different stamps", "injector",
           "Mux(waited, first_offered, self.now)", "self.now", _INJECTOR),
)  # fmt: skip
