// Harness of a whole chip: the clock loop, DRAM, host and trace log run here; Python hands over whole jobs.
//
// A cycle: pins are settled with the clock low; they are sampled; the clock rises; DRAM and host see the sample and drive what they
// drive after the edge; the clock falls and the pins settle again. Two evaluations a cycle, as in a loop that only toggles the clock.
#include <chrono>

#include "dram.h"
#include "host.h"
#include "model.h"

namespace meshium {

template <class T>
void put(T& port, const uint8_t* bytes, size_t count) {
    static_assert(sizeof(T) <= MAX_BYTES, "data bus too wide");
    std::memcpy(&port, bytes, std::min(count, sizeof(T)));
}
template <class T>
void get(const T& port, uint8_t* bytes, size_t count) {
    std::memcpy(bytes, &port, std::min(count, sizeof(T)));
}

// Nobody asks for lines of SBUF here. Parts of a chip that run under this harness have no such port; Verilator spells `__` as `___05F`.
template <class T>
auto no_access(T& pins, int) -> decltype(pins.debug___05Frequest___05Fvalid, void()) {
    pins.debug___05Frequest___05Fvalid = 0;
}
template <class T>
void no_access(T&, long) {}

enum Kind : uint8_t { START = 0, DONE = 1, STATE = 2 };

struct Event {  // `EVENT_DTYPE` in chip.py
    uint64_t cycle;
    uint8_t kind, channel, value, unused[5];
};

enum Until : uint32_t { INTERRUPT = 1, HOST_IDLE = 2, DRAM_IDLE = 4 };

struct Inputs {
    SlavePins axi;
    HostOutputs host;
    bool reset = true;
};

class Chip {
  public:
    Chip(const DramParameters& parameters, uint8_t* memory, uint64_t host_stall, int random_reset, int seed)
        : model(0, nullptr, random_reset, seed), dram(parameters, memory), host(parameters.seed, host_stall), bytes_(parameters.line_bytes) {
        pins().clk = 0;
        apply(Inputs{});
        model.eval();
    }

    Model model;
    Dram dram;
    Host host;
    uint64_t cycle = 0;
    std::vector<Event> events;
    std::vector<Inputs> recording;
    bool log_events = true, record = false;

    bool interrupt() { return pins().irq; }
    void reset(uint64_t cycles) {
        model.enter();
        inputs_.reset = true;
        reset_age_ = 0;
        apply(inputs_);
        model.eval();
        run(cycles, 0);
        inputs_.reset = false;
        apply(inputs_);
        model.eval();
    }
    uint64_t run(uint64_t count, uint32_t until) {
        model.enter();
        for (uint64_t done = 0; done < count; ++done) {
            if (failed() || ((until & INTERRUPT) && pins().irq) || ((until & HOST_IDLE) && host.idle()) || ((until & DRAM_IDLE) && dram.idle())) return done;
            step();
        }
        return count;
    }
    const char* error() {
        if (!dram.violation().empty()) return dram.violation().c_str();
        if (!host.violation().empty()) return host.violation().c_str();
        if (model.ending.finished && model.ending.message.empty()) model.ending.message = "the model called $finish";
        return model.ending.message.c_str();
    }
    uint32_t states() {
        Vmodel& p = pins();
        return p.trace_state_load | p.trace_state_tensor << 8 | p.trace_state_output << 16 | uint32_t(p.trace_state_store) << 24;
    }
    // Seconds a bare loop takes over the recorded inputs: the same work for the model, no DRAM, no host, no log.
    double replay() {
        model.enter();
        const auto start = std::chrono::steady_clock::now();
        for (const Inputs& inputs : recording) {
            pins().clk = 1;
            model.top->eval();
            apply(inputs);
            pins().clk = 0;
            model.top->eval();
        }
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }

  private:
    Vmodel& pins() { return *model.top; }
    bool failed() const { return !dram.violation().empty() || !host.violation().empty() || model.ending.finished; }

    void step() {
        sample();
        if (log_events) log();
        const bool in_reset = inputs_.reset;
        pins().clk = 1;
        model.eval();
        model.trace_dump(cycle * 10);
        // The first cycle of a reset may still show what was before it.
        if (!in_reset || reset_age_++ > 0) inputs_.axi = dram.step(master_, in_reset, cycle);
        inputs_.host = host.step(host_in_, in_reset, cycle);
        if (record) recording.push_back(inputs_);
        apply(inputs_);
        pins().clk = 0;
        model.eval();
        model.trace_dump(cycle * 10 + 5);
        ++cycle;
    }
    void sample();
    void apply(const Inputs& inputs);
    void log();

    size_t bytes_;
    Inputs inputs_;
    MasterPins master_;
    HostInputs host_in_;
    uint64_t reset_age_ = 0;
    uint32_t last_states_ = 0;
};

#define MESHIUM_SAMPLE_ADDRESS(x)                \
    master_.x.valid = p.m_axi_##x##valid;        \
    if (master_.x.valid) {                       \
        master_.x.address = p.m_axi_##x##addr;   \
        master_.x.id = p.m_axi_##x##id;          \
        master_.x.length = p.m_axi_##x##len;     \
        master_.x.size = p.m_axi_##x##size;      \
        master_.x.burst = p.m_axi_##x##burst;    \
        master_.x.lock = p.m_axi_##x##lock;      \
        master_.x.cache = p.m_axi_##x##cache;    \
        master_.x.prot = p.m_axi_##x##prot;      \
        master_.x.qos = p.m_axi_##x##qos;        \
    }

void Chip::sample() {
    Vmodel& p = pins();
    MESHIUM_SAMPLE_ADDRESS(ar)
    MESHIUM_SAMPLE_ADDRESS(aw)
    master_.r_ready = p.m_axi_rready;
    master_.b_ready = p.m_axi_bready;
    master_.w_valid = p.m_axi_wvalid;
    if (master_.w_valid) {
        master_.w_last = p.m_axi_wlast;
        get(p.m_axi_wdata, master_.w_data, bytes_);
        get(p.m_axi_wstrb, master_.w_strobe, (bytes_ + 7) / 8);
    }
    host_in_.aw_ready = p.s_axil_awready;
    host_in_.w_ready = p.s_axil_wready;
    host_in_.ar_ready = p.s_axil_arready;
    host_in_.b_valid = p.s_axil_bvalid;
    host_in_.b_resp = p.s_axil_bresp;
    host_in_.r_valid = p.s_axil_rvalid;
    host_in_.r_resp = p.s_axil_rresp;
    host_in_.r_data = p.s_axil_rdata;
}

void Chip::apply(const Inputs& in) {
    Vmodel& p = pins();
    inputs_.reset = in.reset;
    p.rst = in.reset;
    p.m_axi_arready = in.axi.ar_ready;
    p.m_axi_awready = in.axi.aw_ready;
    p.m_axi_wready = in.axi.w_ready;
    p.m_axi_bvalid = in.axi.b_valid;
    p.m_axi_bid = in.axi.b_id;
    p.m_axi_bresp = in.axi.b_resp;
    p.m_axi_rvalid = in.axi.r_valid;
    if (in.axi.r_valid) {
        p.m_axi_rid = in.axi.r_id;
        p.m_axi_rresp = in.axi.r_resp;
        p.m_axi_rlast = in.axi.r_last;
        put(p.m_axi_rdata, in.axi.r_data, bytes_);
    }
    no_access(p, 0);
    p.s_axil_awaddr = p.s_axil_araddr = in.host.address;
    p.s_axil_awprot = p.s_axil_arprot = 0;
    p.s_axil_awvalid = in.host.aw_valid;
    p.s_axil_wdata = in.host.data;
    p.s_axil_wstrb = 15;
    p.s_axil_wvalid = in.host.w_valid;
    p.s_axil_bready = in.host.b_ready;
    p.s_axil_arvalid = in.host.ar_valid;
    p.s_axil_rready = in.host.r_ready;
}

void Chip::log() {
    Vmodel& p = pins();
    const uint32_t start = p.trace_start, done = p.trace_done, now = states();
    if (start | done) {
        for (uint8_t channel = 0; channel < 5; ++channel) {
            if (start >> channel & 1) events.push_back({cycle, START, channel, 1, {}});
            if (done >> channel & 1) events.push_back({cycle, DONE, channel, 1, {}});
        }
    }
    if (now != last_states_) {
        for (uint8_t engine = 0; engine < 4; ++engine) {
            const uint8_t state = now >> 8 * engine;
            if (state != uint8_t(last_states_ >> 8 * engine)) events.push_back({cycle, STATE, engine, state, {}});
        }
        last_states_ = now;
    }
}

}  // namespace meshium

using meshium::Chip;

MESHIUM_API Chip* chip_new(const meshium::DramParameters* dram, uint8_t* memory, uint64_t host_stall, int random_reset, int seed) {
    return new Chip(*dram, memory, host_stall, random_reset, seed);
}
MESHIUM_API void chip_delete(Chip* chip) { delete chip; }
MESHIUM_API void chip_reset(Chip* chip, uint64_t cycles) { chip->reset(cycles); }
MESHIUM_API uint64_t chip_run(Chip* chip, uint64_t count, uint32_t until) { return chip->run(count, until); }
MESHIUM_API uint64_t chip_cycle(Chip* chip) { return chip->cycle; }
MESHIUM_API int chip_interrupt(Chip* chip) { return chip->interrupt(); }
MESHIUM_API uint32_t chip_states(Chip* chip) { return chip->states(); }
MESHIUM_API const char* chip_error(Chip* chip) { return chip->error(); }
MESHIUM_API void chip_poison(Chip* chip, uint64_t first, uint64_t end) { chip->dram.poison.push_back({first, end}); }
MESHIUM_API void chip_host_push(Chip* chip, int write, uint32_t address, uint32_t data) { chip->host.push(write, address, data); }
MESHIUM_API int chip_host_pop(Chip* chip, meshium::HostResult* out) { return chip->host.pop(out); }
MESHIUM_API int chip_host_idle(Chip* chip) { return chip->host.idle(); }
MESHIUM_API void chip_log_events(Chip* chip, int on) { chip->log_events = on; }
MESHIUM_API const meshium::Event* chip_events(Chip* chip, uint64_t* count) {
    *count = chip->events.size();
    return chip->events.data();
}
MESHIUM_API void chip_clear_events(Chip* chip) { chip->events.clear(); }
MESHIUM_API void chip_statistics(Chip* chip, uint64_t out[4]) {
    out[0] = chip->dram.read_bursts;
    out[1] = chip->dram.read_beats;
    out[2] = chip->dram.write_bursts;
    out[3] = chip->dram.write_beats;
}
MESHIUM_API void chip_record(Chip* chip, int on) {
    chip->record = on;
    if (on) chip->recording.clear();
}
MESHIUM_API uint64_t chip_recorded(Chip* chip) { return chip->recording.size(); }
MESHIUM_API double chip_replay(Chip* chip) { return chip->replay(); }
MESHIUM_API int chip_variable(Chip* chip, uint32_t index, meshium::VariableInfo* out) { return meshium::describe(chip->model, index, out); }
MESHIUM_API int chip_trace_start(Chip* chip, const char* path) { return chip->model.trace_start(path, 99); }
MESHIUM_API void chip_trace_stop(Chip* chip) { chip->model.trace_stop(); }
