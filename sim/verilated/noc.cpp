// Traffic engine of a mesh: the clock loop, sources, sinks and the scoreboard run here; Python hands over a job and reads packets back.
//
// A cycle: packets are created, what the sources offer is driven, what comes out of the mesh is checked and its credits are driven (all of
// that depends on registers of the mesh alone); the clock has an edge; `taken` then tells which offers went.
#include "model.h"
#include "noc_traffic.h"

namespace meshium {

struct SourcePins {
    IData* control;
    void* payload;
};
struct NodePins {
    const CData* taken;
    const IData* status;
    const void* ejected;
    SData* credit;
};

struct WatchPins {
    Model* model;
    IData* select;
    const IData* probe;
};

// What a link carries from one model to another.
struct LinkPins {
    const void* from;
    void* to;
    size_t bytes;
};
using Models = std::vector<std::unique_ptr<Model>>;

// Made for each mesh by noc_build.py: MODELS, source_pins, node_pins, watch_pins, link_pins of `Models`, and place, which ties off the coordinates.
#include "noc_pins.h"

enum Phase : uint32_t { LOAD = 0, TAIL = 1, DRAIN = 2, DONE = 3 };

// Cycles the mesh must stay silent after the last flit: a duplicate would come out in them.
constexpr uint32_t SETTLE = 64;

class Noc {
  public:
    Noc() {
        for (int i = 0; i < MODELS; ++i) models_.push_back(std::make_unique<Model>(0, nullptr, 0, 1));
        source_pins_ = source_pins(models_);
        pins_ = node_pins(models_);
        watch_ = watch_pins(models_);
        links_ = link_pins(models_);
        place(models_);
    }

    void start(const Job& job) {
        job_ = job;
        counts = Counts{};
        packets.clear();
        sources_.start(job);
        scoreboard.start(job);
        stalls_ = Xoshiro(job.seed ^ 0x5374616C6C);
        held_.assign(size_t(job.nodes) * job.vcs, 0);
        holding_.assign(job.nodes, 0);
        expected_ = scan_ = 0;
        quiet_ = settled_ = ejected_ = 0;
        committed_ = 0;
        cycle_ = 0;
        phase_ = LOAD;
        swapped_ = false;
        deaf_ = ~0u;
        reset();
    }
    // At most `limit` cycles; whether the job is done.
    bool run(uint64_t limit) {
        models_.front()->enter();
        for (uint64_t i = 0; i < limit && phase_ != DONE; ++i) {
            step();
            advance_phase();
        }
        counts.cycle = cycle_;
        counts.packets = packets.size();
        counts.phase = phase_;
        counts.injected_flits = committed_;
        counts.lost = committed_ - counts.delivered_flits;
        return phase_ == DONE;
    }
    const char* error() {
        Ending& ending = models_.front()->ending;  // `enter` has made it that of all of them
        if (ending.finished && ending.message.empty()) ending.message = "the model called $finish";
        return ending.message.c_str();
    }

    // What the watchdog of `node` says of a queue; nothing where there is none.
    uint32_t probe(uint32_t node, uint32_t select) {
        if (node >= watch_.size()) return 0;
        models_.front()->enter();
        *watch_[node].select = select;
        watch_[node].model->eval();  // the clock has no edge: it is looked at only
        return *watch_[node].probe;
    }

    Counts counts{};
    std::vector<Packet> packets;
    Scoreboard scoreboard;

  private:
    void tick() {
        // All that leaves a model depends on its registers alone: it is copied before any of them is clocked.
        for (const LinkPins& link : links_) std::memcpy(link.to, link.from, link.bytes);
        for (const auto& model : models_) {
            model->top->clk = !model->top->clk;
            model->eval();
        }
    }
    void reset() {
        models_.front()->enter();
        for (const SourcePins& pins : source_pins_) *pins.control = 0;
        for (const NodePins& pins : pins_) *pins.credit = 0;
        for (const auto& model : models_) model->top->rst = 1;
        for (int i = 0; i < 4; ++i) tick();
        for (const auto& model : models_) model->top->rst = 0;
    }
    bool loaded() const { return job_.probability == nullptr; }
    bool in_window() const { return loaded() || (cycle_ >= job_.warmup && cycle_ < job_.warmup + job_.cycles); }

    void step() {
        if (phase_ < DRAIN) create();
        ++quiet_;
        eject();
        give_credits();
        tick();
        inject();
        ++cycle_;
    }
    void create() {
        sources_.generate(cycle_, in_window(), packets);
        for (; expected_ < packets.size(); ++expected_) {
            scoreboard.expect(packets[expected_]);
            const size_t source = packets[expected_].source * job_.networks + packets[expected_].network;
            if (!(*source_pins_[source].control & 1)) offer(source);
        }
    }
    // Drives the next flit of a source, or nothing.
    void offer(size_t source) {
        const Sources::Queue& queue = sources_.queues[source];
        const SourcePins& pins = source_pins_[source];
        if (queue.empty()) {
            *pins.control = 0;
            return;
        }
        const uint32_t id = queue.front();
        const Packet& packet = packets[id];
        const uint32_t x = packet.destination % job_.mesh_x, y = packet.destination / job_.mesh_x;
        const uint32_t tail = queue.flit + 1 == packet.length, stamp = packet.created / job_.age_tick & job_.stamp_mask;
        *pins.control = 1 | tail << 1 | job_.ordered << 2 | packet.service << 4 | x << 8 | y << 12 | stamp << 16;
        uint64_t words[8];
        for (uint32_t word = 0; word < job_.words; ++word) words[word] = payload_word(job_.seed, id, queue.flit, word);
        std::memcpy(pins.payload, words, job_.words * 8);
    }
    void inject() {
        for (size_t node = 0; node < pins_.size(); ++node) {
            const uint32_t taken = *pins_[node].taken;
            if (!taken) continue;
            for (uint32_t network = 0; network < job_.networks; ++network) {
                if (taken >> network & 1) advance(node * job_.networks + network);
            }
        }
    }
    void advance(size_t source) {
        Sources::Queue& queue = sources_.queues[source];
        quiet_ = 0;
        if (queue.empty()) {  // taken, but never offered
            ++counts.corrupted;
            return;
        }
        Packet& packet = packets[queue.front()];
        if (queue.flit == 0) {
            packet.injected = cycle_;
            committed_ += packet.length;
        }
        if (++queue.flit == packet.length) {
            queue.flit = 0;
            ++queue.first;
        }
        offer(source);
    }
    void eject() {
        for (uint32_t node = 0; node < job_.nodes; ++node) {
            const uint32_t status = *pins_[node].status;
            if (!(status & 1)) continue;
            Ejected out{node, status >> 4 & 15, status >> 8 & 15, status >> 12 & 15, bool(status & 2), {}};
            std::memcpy(out.payload, pins_[node].ejected, job_.words * 8);
            quiet_ = settled_ = 0;
            if (out.vc < job_.vcs) {
                if (++held_[size_t(node) * job_.vcs + out.vc] > job_.depth) ++counts.overflowed;
                ++holding_[node];
            }
            if (job_.fault != NO_FAULT) {
                spoil(out);
            } else {
                check(out);
            }
        }
    }
    void check(const Ejected& out) {
        if (out.vc >= job_.vcs) {
            ++counts.corrupted;
        } else {
            scoreboard.check(out, uint32_t(cycle_), in_window(), packets, counts);
        }
    }
    void spoil(Ejected out) {
        if (swapped_ && kept_.node == out.node && kept_.vc == out.vc) {
            check(out);
            check(kept_);
            swapped_ = false;
            return;
        }
        const bool now = ejected_++ == job_.fault_at;
        if (now && job_.fault == SWAP) {
            kept_ = out;
            swapped_ = true;
            return;
        }
        if (now && job_.fault == DROP) return;
        if (now && job_.fault == HOLD) deaf_ = out.node;
        if (now && job_.fault == FLIP) out.payload[job_.words - 1] ^= 1ull << 63;
        if (now && job_.fault == MOVE) out.node = (out.node + 1) % job_.nodes;
        if (now && job_.fault == UNTAIL) out.tail = !out.tail;
        check(out);
        if (now && job_.fault == REPEAT) check(out);
    }
    void give_credits() {
        for (uint32_t node = 0; node < job_.nodes; ++node) {
            SData credit = 0;
            if (holding_[node] && node != deaf_) {
                for (uint32_t vc = 0; vc < job_.vcs; ++vc) {
                    uint32_t& held = held_[size_t(node) * job_.vcs + vc];
                    if (!held || (job_.stall > 0 && stalls_.chance(job_.stall))) continue;
                    --held;
                    --holding_[node];
                    credit |= SData(1 << vc);
                }
            }
            *pins_[node].credit = credit;
        }
    }
    // Whether every packet of the window has arrived.
    bool window_done() {
        while (scan_ < packets.size() && (!packets[scan_].measured || packets[scan_].ejected != NEVER)) ++scan_;
        return scan_ == packets.size();
    }
    void advance_phase() {
        if (models_.front()->ending.finished) phase_ = DONE;
        const bool silent = quiet_ >= job_.quiet_limit;
        if (phase_ == LOAD && loaded()) {
            // Silence before the next packet of a list is no fault.
            const bool waits = !window_done();
            if ((sources_.list_done() && !waits) || (silent && waits)) phase_ = DRAIN;
        } else if (phase_ == LOAD && cycle_ >= job_.warmup + job_.cycles) {
            phase_ = TAIL;
        }
        if (phase_ == TAIL && (window_done() || cycle_ >= job_.warmup + job_.cycles + job_.tail_limit)) {
            phase_ = DRAIN;
            counts.dropped = sources_.drop();
        }
        if (phase_ != DRAIN) return;
        if (committed_ != counts.delivered_flits) {
            if (silent) {
                counts.stuck = 1;
                phase_ = DONE;
            }
        } else if (++settled_ > SETTLE) {
            phase_ = DONE;
        }
    }

    Models models_;
    std::vector<SourcePins> source_pins_;
    std::vector<NodePins> pins_;
    std::vector<WatchPins> watch_;
    std::vector<LinkPins> links_;
    Job job_{};
    Sources sources_;
    Xoshiro stalls_{0};
    std::vector<uint32_t> held_, holding_;  // flits at the sinks, by node and VC; by node
    size_t expected_ = 0, scan_ = 0;
    uint64_t cycle_ = 0, quiet_ = 0, settled_ = 0, ejected_ = 0, committed_ = 0;
    Phase phase_ = DONE;
    Ejected kept_{};
    bool swapped_ = false;
    uint32_t deaf_ = ~0u;  // a node that gives no credits
};

}  // namespace meshium

using meshium::Noc;

MESHIUM_API Noc* noc_new() { return new Noc; }
MESHIUM_API void noc_delete(Noc* noc) { delete noc; }
MESHIUM_API void noc_start(Noc* noc, const meshium::Job* job) { noc->start(*job); }
MESHIUM_API int noc_run(Noc* noc, uint64_t cycles) { return noc->run(cycles); }
MESHIUM_API void noc_counts(Noc* noc, meshium::Counts* out) { *out = noc->counts; }
MESHIUM_API const meshium::Packet* noc_packets(Noc* noc) { return noc->packets.data(); }
MESHIUM_API const uint64_t* noc_source_flits(Noc* noc) { return noc->scoreboard.source_flits.data(); }
MESHIUM_API uint32_t noc_probe(Noc* noc, uint32_t node, uint32_t select) { return noc->probe(node, select); }
MESHIUM_API const char* noc_error(Noc* noc) { return noc->error(); }
