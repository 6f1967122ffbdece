// A DRAM behind an AXI4 slave port, and the rules a master has to keep (AMBA AXI4, IHI 0022).
//
// Once a cycle: `step(master, slave)` gets the pins as they stood before the clock edge and returns what the slave drives after it.
// Nothing of what the slave drives depends on what the master drives in the same cycle, so there is no combinational loop through it.
#ifndef MESHIUM_DRAM_H
#define MESHIUM_DRAM_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace meshium {

constexpr unsigned MAX_BYTES = 128;  // of a data bus
constexpr unsigned OKAY = 0, SLVERR = 2, DECERR = 3;

// Seeded, small and fast (xorshift64*).
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x2545F4914F6CDD1Dull) {
        if (!state_) state_ = 1;
    }
    uint32_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545F4914F6CDD1Dull) >> 32;
    }
    // True with probability threshold / 2^32.
    bool chance(uint64_t threshold) { return threshold && next() < threshold; }

  private:
    uint64_t state_;
};

struct AddressPins {
    uint64_t address = 0;
    uint32_t id = 0, length = 0, size = 0, burst = 0, lock = 0, cache = 0, prot = 0, qos = 0;
    bool valid = false;
    bool operator==(const AddressPins& o) const {
        return address == o.address && id == o.id && length == o.length && size == o.size && burst == o.burst && lock == o.lock &&
               cache == o.cache && prot == o.prot && qos == o.qos;
    }
};

struct MasterPins {
    AddressPins ar, aw;
    bool w_valid = false, w_last = false, b_ready = false, r_ready = false;
    uint8_t w_data[MAX_BYTES] = {}, w_strobe[MAX_BYTES / 8] = {};
};

struct SlavePins {
    bool ar_ready = false, aw_ready = false, w_ready = false;
    bool b_valid = false, r_valid = false, r_last = false;
    uint32_t b_id = 0, b_resp = 0, r_id = 0, r_resp = 0;
    uint8_t r_data[MAX_BYTES] = {};
};

// Filled by Python; the layout is `_DramParameters` in dram.py.
struct DramParameters {
    uint64_t bytes;               // size of the memory, which starts at address 0
    uint64_t stall_threshold;     // probability of a stall per channel and cycle, times 2^32
    uint64_t seed;
    uint32_t line_bytes;          // bytes of a beat
    uint32_t latency;             // cycles from an address (last write beat) to its first data beat (response), at least 1
    uint32_t rate_numerator;      // bytes a cycle and direction = numerator / denominator; numerator 0: the bus is the limit
    uint32_t rate_denominator;
    uint32_t outstanding;         // bursts accepted and not answered, per direction
    uint32_t reorder;             // answer bursts of different IDs in random order, beats of reads interleaved
};

struct Range {
    uint64_t first, end;  // [first, end)
};

class Dram {
  public:
    Dram(const DramParameters& parameters, uint8_t* memory) : p_(parameters), memory_(memory), random_(parameters.seed) {}

    std::vector<Range> poison;
    uint64_t read_beats = 0, write_beats = 0, read_bursts = 0, write_bursts = 0;
    const std::string& violation() const { return violation_; }
    bool idle() const { return reads_.empty() && writes_.empty() && responses_.empty() && !slave_.r_valid && !slave_.b_valid; }

    const SlavePins& step(const MasterPins& master, bool in_reset, uint64_t cycle);

  private:
    struct Burst {
        uint64_t address, due;
        uint32_t id, length, beat, resp;
    };

    void check(const MasterPins& master, bool in_reset);
    void check_address(const char* channel, const AddressPins& pins);
    void fail(const std::string& what) {
        if (violation_.empty()) violation_ = "AXI4 rule broken in cycle " + std::to_string(cycle_) + ": " + what;
    }
    uint32_t respond(uint64_t address) const {
        if (address + p_.line_bytes > p_.bytes) return DECERR;
        for (const Range& range : poison)
            if (address < range.end && address + p_.line_bytes > range.first) return SLVERR;
        return OKAY;
    }
    bool stall() { return random_.chance(p_.stall_threshold); }
    // Bandwidth: each direction earns `numerator` a cycle and pays line_bytes * denominator a beat; at most a beat is saved up.
    bool pay(uint64_t& credit) {
        if (!p_.rate_numerator) return true;
        const uint64_t price = uint64_t(p_.line_bytes) * p_.rate_denominator;
        if (credit < price) return false;
        credit -= price;
        return true;
    }
    void earn(uint64_t& credit) {
        if (p_.rate_numerator) credit = std::min(credit + p_.rate_numerator, uint64_t(p_.line_bytes) * p_.rate_denominator + p_.rate_numerator - 1);
    }
    int choose(const std::deque<Burst>& queue, bool need_due);
    void accept(const MasterPins& master);
    void store(const MasterPins& master);
    void drive_read();
    void drive_response();

    DramParameters p_;
    uint8_t* memory_;
    Random random_;
    std::string violation_;
    uint64_t cycle_ = 0, read_credit_ = 0, write_credit_ = 0;
    bool write_paid_ = false;
    std::deque<Burst> reads_, writes_, responses_;
    SlavePins slave_;
    MasterPins held_;  // what the master may not change: a channel that was valid and not taken
    bool ar_held_ = false, aw_held_ = false, w_held_ = false;
};

inline void Dram::check_address(const char* channel, const AddressPins& pins) {
    const uint64_t bytes = uint64_t(p_.line_bytes) * (pins.length + 1);
    const std::string who = std::string(channel) + " burst at address " + std::to_string(pins.address) + " of " + std::to_string(pins.length + 1) + " beats ";
    if (pins.burst != 1) fail(who + "must be INCR (AxBURST 1), not " + std::to_string(pins.burst));
    if (pins.size >= 8 || (1u << pins.size) != p_.line_bytes) fail(who + "must have full-width beats, not AxSIZE " + std::to_string(pins.size));
    if (pins.address % p_.line_bytes) fail(who + "must be aligned to " + std::to_string(p_.line_bytes) + " bytes");
    if (pins.address / 4096 != (pins.address + bytes - 1) / 4096) fail(who + "must not cross a 4 KiB boundary");
    if (pins.length > 255) fail(who + "must have at most 256 beats");
    if (pins.lock) fail(who + "must not be exclusive");
}

inline void Dram::check(const MasterPins& m, bool in_reset) {
    if (in_reset) {
        if (m.ar.valid || m.aw.valid || m.w_valid) fail("ARVALID, AWVALID and WVALID must be low in reset");
        ar_held_ = aw_held_ = w_held_ = false;
        return;
    }
    if (ar_held_ && !(m.ar.valid && m.ar == held_.ar)) fail("AR must be held until ARREADY, it changed or was taken back");
    if (aw_held_ && !(m.aw.valid && m.aw == held_.aw)) fail("AW must be held until AWREADY, it changed or was taken back");
    if (w_held_ && !(m.w_valid && m.w_last == held_.w_last && !std::memcmp(m.w_data, held_.w_data, p_.line_bytes) &&
                     !std::memcmp(m.w_strobe, held_.w_strobe, (p_.line_bytes + 7) / 8)))
        fail("W must be held until WREADY, it changed or was taken back");
    if (m.ar.valid && !ar_held_) check_address("read", m.ar);
    if (m.aw.valid && !aw_held_) check_address("write", m.aw);
    ar_held_ = m.ar.valid && !slave_.ar_ready;
    aw_held_ = m.aw.valid && !slave_.aw_ready;
    w_held_ = m.w_valid && !slave_.w_ready;
    if (ar_held_) held_.ar = m.ar;
    if (aw_held_) held_.aw = m.aw;
    if (w_held_) {
        held_.w_last = m.w_last;
        std::memcpy(held_.w_data, m.w_data, p_.line_bytes);
        std::memcpy(held_.w_strobe, m.w_strobe, sizeof held_.w_strobe);
    }
}

// Index of the burst to serve next, -1 for none: the oldest, or with `reorder` a random one among the oldest of each ID.
inline int Dram::choose(const std::deque<Burst>& queue, bool need_due) {
    if (queue.empty()) return -1;
    if (!p_.reorder) return !need_due || queue.front().due <= cycle_ ? 0 : -1;
    int chosen = -1, seen = 0;
    uint64_t ids[4] = {};  // AxID is at most 8 bits wide in this harness
    for (size_t i = 0; i < queue.size(); ++i) {
        const uint32_t id = queue[i].id & 255;
        if (ids[id / 64] >> (id % 64) & 1) continue;
        ids[id / 64] |= 1ull << (id % 64);
        if (need_due && queue[i].due > cycle_) continue;
        if (random_.next() % ++seen == 0) chosen = int(i);
    }
    return chosen;
}

inline void Dram::accept(const MasterPins& m) {
    if (m.ar.valid && slave_.ar_ready) {
        reads_.push_back({m.ar.address, cycle_ + p_.latency - 1, m.ar.id, m.ar.length, 0, OKAY});
        ++read_bursts;
    }
    if (m.aw.valid && slave_.aw_ready) {
        writes_.push_back({m.aw.address, 0, m.aw.id, m.aw.length, 0, OKAY});
        // A burst that touches a bad address is refused whole: none of its bytes are written.
        for (uint32_t beat = 0; beat <= m.aw.length; ++beat)
            writes_.back().resp = std::max(writes_.back().resp, respond(m.aw.address + uint64_t(beat) * p_.line_bytes));
        ++write_bursts;
    }
}

inline void Dram::store(const MasterPins& m) {
    if (!(m.w_valid && slave_.w_ready)) return;
    Burst& burst = writes_.front();  // w_ready is only given while there is one
    const uint64_t address = burst.address + uint64_t(burst.beat) * p_.line_bytes;
    for (uint32_t i = 0; i < p_.line_bytes; ++i) {
        if (!(m.w_strobe[i / 8] >> (i % 8) & 1)) {
            fail("WSTRB must be all ones in this chip, beat at address " + std::to_string(address));
            break;
        }
    }
    if (burst.resp == OKAY) std::memcpy(memory_ + address, m.w_data, p_.line_bytes);
    ++write_beats;
    write_paid_ = false;
    const bool last = burst.beat++ == burst.length;
    if (last != m.w_last) fail("WLAST must mark the last beat of a burst and no other, beat at address " + std::to_string(address));
    if (last) {
        burst.due = cycle_ + p_.latency - 1;
        responses_.push_back(burst);
        writes_.pop_front();
    }
}

inline void Dram::drive_read() {
    slave_.r_valid = false;
    if (stall()) return;
    const int index = choose(reads_, true);
    if (index < 0 || !pay(read_credit_)) return;
    Burst& burst = reads_[index];
    const uint64_t address = burst.address + uint64_t(burst.beat) * p_.line_bytes;
    slave_.r_valid = true;
    slave_.r_id = burst.id;
    slave_.r_resp = respond(address);
    slave_.r_last = burst.beat == burst.length;
    if (slave_.r_resp == OKAY)
        std::memcpy(slave_.r_data, memory_ + address, p_.line_bytes);
    else
        std::memset(slave_.r_data, 0xEE, p_.line_bytes);  // bytes nobody may use
    ++read_beats;
    if (burst.beat++ == burst.length) reads_.erase(reads_.begin() + index);
}

inline void Dram::drive_response() {
    slave_.b_valid = false;
    if (stall()) return;
    const int index = choose(responses_, true);
    if (index < 0) return;
    slave_.b_valid = true;
    slave_.b_id = responses_[index].id;
    slave_.b_resp = responses_[index].resp;
    responses_.erase(responses_.begin() + index);
}

inline const SlavePins& Dram::step(const MasterPins& m, bool in_reset, uint64_t cycle) {
    cycle_ = cycle;
    check(m, in_reset);
    if (in_reset) {
        reads_.clear();
        writes_.clear();
        responses_.clear();
        slave_ = SlavePins{};
        write_paid_ = false;
        return slave_;
    }
    earn(read_credit_);
    earn(write_credit_);
    accept(m);
    store(m);
    if (!slave_.r_valid || m.r_ready) drive_read();
    if (!slave_.b_valid || m.b_ready) drive_response();
    slave_.ar_ready = reads_.size() < p_.outstanding && !stall();
    slave_.aw_ready = writes_.size() + responses_.size() < p_.outstanding && !stall();
    if (!writes_.empty() && !write_paid_) write_paid_ = pay(write_credit_);
    slave_.w_ready = !writes_.empty() && write_paid_ && !stall();
    return slave_;
}

}  // namespace meshium
#endif
