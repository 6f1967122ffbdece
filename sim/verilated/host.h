// The host's side of an AXI4-Lite register port: a queue of reads and writes, done one after another.
#ifndef MESHIUM_HOST_H
#define MESHIUM_HOST_H

#include <cstdint>
#include <deque>
#include <string>

#include "dram.h"

namespace meshium {

struct HostOutputs {  // driven by the host
    bool aw_valid = false, w_valid = false, b_ready = false, ar_valid = false, r_ready = false;
    uint32_t address = 0, data = 0;
};

struct HostInputs {  // driven by the chip
    bool aw_ready = false, w_ready = false, b_valid = false, ar_ready = false, r_valid = false;
    uint32_t b_resp = 0, r_resp = 0, r_data = 0;
};

struct HostResult {
    uint32_t data, resp;
};

class Host {
  public:
    Host(uint64_t seed, uint64_t stall_threshold) : random_(seed ^ 0x486F7374), stall_threshold_(stall_threshold) {}

    void push(bool write, uint32_t address, uint32_t data) { queue_.push_back({write, address, data}); }
    bool idle() const { return queue_.empty(); }
    bool pop(HostResult* out) {
        if (results_.empty()) return false;
        *out = results_.front();
        results_.pop_front();
        return true;
    }
    const std::string& violation() const { return violation_; }

    // Pins before the clock edge in, pins after it out.
    const HostOutputs& step(const HostInputs& in, bool in_reset, uint64_t cycle) {
        if (in_reset) {
            queue_.clear();
            results_.clear();
            begun_ = b_held_ = r_held_ = false;
            return out_ = HostOutputs{};
        }
        check(in, cycle);
        if (in.b_valid && out_.b_ready) finish({0, in.b_resp});
        if (in.r_valid && out_.r_ready) finish({in.r_data, in.r_resp});
        if (in.aw_ready) out_.aw_valid = false;
        if (in.w_ready) out_.w_valid = false;
        if (in.ar_ready) out_.ar_valid = false;
        if (!begun_ && !queue_.empty()) begin();
        // A late W, as a stalling host may give it, never comes back once it is up.
        if (w_waits_ && !stall()) {
            out_.w_valid = true;
            w_waits_ = false;
        }
        out_.b_ready = begun_ && queue_.front().write && !stall();
        out_.r_ready = begun_ && !queue_.front().write && !stall();
        return out_;
    }

  private:
    struct Operation {
        bool write;
        uint32_t address, data;
    };

    bool stall() { return random_.chance(stall_threshold_); }
    void begin() {
        const Operation& operation = queue_.front();
        begun_ = true;
        out_.address = operation.address;
        out_.data = operation.data;
        out_.aw_valid = w_waits_ = operation.write;
        out_.ar_valid = !operation.write;
    }
    void finish(HostResult result) {
        results_.push_back(result);
        queue_.pop_front();
        begun_ = false;
    }
    void check(const HostInputs& in, uint64_t cycle) {
        const char* what = nullptr;
        const bool writing = begun_ && queue_.front().write && !out_.aw_valid && !out_.w_valid && !w_waits_;
        const bool reading = begun_ && !queue_.front().write && !out_.ar_valid;
        if (in.b_valid && !writing) what = "BVALID must follow the address and the data of a write";
        if (in.r_valid && !reading) what = "RVALID must follow the address of a read";
        if (b_held_ && !in.b_valid) what = "BVALID must be held until BREADY";
        if (r_held_ && !(in.r_valid && in.r_data == r_data_)) what = "RVALID and RDATA must be held until RREADY";
        if (what && violation_.empty()) violation_ = "AXI4-Lite rule broken in cycle " + std::to_string(cycle) + ": " + what;
        b_held_ = in.b_valid && !out_.b_ready;
        r_held_ = in.r_valid && !out_.r_ready;
        r_data_ = in.r_data;
    }

    Random random_;
    uint64_t stall_threshold_;
    std::string violation_;
    std::deque<Operation> queue_;
    std::deque<HostResult> results_;
    HostOutputs out_;
    bool begun_ = false, w_waits_ = false, b_held_ = false, r_held_ = false;
    uint32_t r_data_ = 0;
};

}  // namespace meshium
#endif
