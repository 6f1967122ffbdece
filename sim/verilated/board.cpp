// Harness of a board: the clock loop, and a UART between its pins and a file descriptor, as of a pseudo-terminal.
//
// A cycle: the clock rises; what comes in is put on `rx` with the clock low; `tx` is sampled. Time stands still while nothing is on the line and the chip
// is idle: then the process sleeps until an octet comes.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "dram.h"
#include "model.h"

namespace meshium {

struct LineParameters {  // `LineParameters` in board.py
    uint64_t seed, drop, corrupt, duplicate;  // chances of an octet, of 2^32
};

struct LineCounters {  // `LineCounters` in board.py
    uint64_t received, sent, dropped, corrupted, duplicated, lost, errors;
};

// What a bad line does to octets.
class Line {
  public:
    explicit Line(const LineParameters& parameters) : parameters_(parameters), random_(parameters.seed) {}
    void pass(uint8_t octet, std::deque<uint8_t>& out, LineCounters& counters) {
        if (random_.chance(parameters_.drop)) {
            ++counters.dropped;
            return;
        }
        if (random_.chance(parameters_.corrupt)) {
            octet ^= 1u << (random_.next() & 7);
            ++counters.corrupted;
        }
        out.push_back(octet);
        if (random_.chance(parameters_.duplicate)) {
            out.push_back(octet);
            ++counters.duplicated;
        }
    }

  private:
    LineParameters parameters_;
    Random random_;
};

// Octets to bits of `divisor` clocks: start, eight data bits, stop.
class Sender {
  public:
    explicit Sender(uint32_t divisor) : divisor_(divisor) {}
    std::deque<uint8_t> octets;
    bool busy() const { return left_ || !octets.empty(); }
    bool step() {
        if (!left_) {
            if (octets.empty()) return true;
            bits_ = octets.front() << 1 | 1u << 9;
            octets.pop_front();
            left_ = 10 * divisor_;
        }
        const bool level = bits_ >> ((10 * divisor_ - left_) / divisor_) & 1;
        --left_;
        return level;
    }

  private:
    uint32_t divisor_, left_ = 0, bits_ = 0;
};

// Bits to octets, sampled in their middle.
class Receiver {
  public:
    explicit Receiver(uint32_t divisor) : divisor_(divisor) {}
    bool busy() const { return clock_ != 0; }
    // Whether an octet has come: it is in `octet`. `error`: it had no stop bit.
    bool step(bool level) {
        error = false;
        if (!clock_) {
            if (!level) clock_ = 1;
            bits_ = 0;
            return false;
        }
        const uint32_t place = clock_ / divisor_;
        const bool middle = clock_ % divisor_ == divisor_ / 2;
        ++clock_;
        if (!middle) return false;
        bits_ |= uint32_t(level) << place;
        if (place < 9) return false;
        clock_ = 0;
        error = !level;
        octet = bits_ >> 1;
        return level;
    }
    uint8_t octet = 0;
    bool error = false;

  private:
    uint32_t divisor_, clock_ = 0, bits_ = 0;
};

constexpr uint32_t RESET_CYCLES = 4;
// Cycles between two looks at the file descriptor: two octets on the quickest line.
constexpr uint32_t SLICE = 160;
// Cycles after the last sign of life in which something may still be going on: more than the bridge waits for a space.
constexpr uint64_t RESTLESS = 100000;
// Octets that wait for the line; more stay in the file descriptor.
constexpr size_t WAITING = 512;
// Bits of `leds` that say that the chip works: RUNNING and MEMORY.
constexpr uint32_t WORKING_LEDS = 1u << 1 | 1u << 6;

// Designs with faults in them have a pin that says which (`FaultyTop`), others have none.
template <class Pins>
auto select_fault(Pins& pins, uint32_t number, int) -> decltype(pins.fault, void()) {
    pins.fault = number;
}
template <class Pins>
void select_fault(Pins&, uint32_t, long) {}

class Board {
  public:
    Board(uint32_t divisor, const LineParameters& line, int random_reset, int seed)
        : model(0, nullptr, random_reset, seed), sender_(divisor), receiver_(divisor), in_(line), out_(other(line)) {
        pins().clk = 0;
        pins().rst = 1;
        pins().rx = 1;
        model.eval();
        for (uint32_t i = 0; i < RESET_CYCLES; ++i) step();
        pins().rst = 0;
        model.eval();
    }

    Model model;
    uint64_t cycle = 0;
    LineCounters counters{};

    // Serves the descriptor for that many seconds; returns errno of what went wrong with it, or 0.
    int serve(int descriptor, double seconds) {
        model.enter();
        const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
        while (!model.ending.finished) {
            const auto left = std::chrono::duration<double, std::milli>(end - std::chrono::steady_clock::now()).count();
            if (left <= 0) break;
            if (resting()) {
                pollfd entry{descriptor, POLLIN, 0};
                if (poll(&entry, 1, int(left) + 1) <= 0) break;
            }
            if (const int error = receive(descriptor)) return error;
            for (uint32_t i = 0; i < SLICE && !model.ending.finished; ++i) step();
            if (const int error = send(descriptor)) return error;
        }
        return 0;
    }
    uint32_t leds() { return pins().leds; }
    void set_fault(uint32_t number) { select_fault(pins(), number, 0); }
    bool resting() { return cycle - active_ > RESTLESS; }

  private:
    static LineParameters other(LineParameters line) {
        line.seed += 1;
        return line;
    }
    Vmodel& pins() { return *model.top; }

    void step() {
        pins().clk = 1;
        model.eval();
        model.trace_dump(cycle * 10);
        pins().clk = 0;
        pins().rx = sender_.step();
        model.eval();
        model.trace_dump(cycle * 10 + 5);
        if (receiver_.step(pins().tx)) out_.pass(receiver_.octet, outgoing_, counters);
        counters.errors += receiver_.error;
        if (sender_.busy() || receiver_.busy() || (pins().leds & WORKING_LEDS)) active_ = cycle;
        ++cycle;
    }
    int receive(int descriptor) {
        if (sender_.octets.size() >= WAITING) return 0;
        uint8_t buffer[WAITING];
        const ssize_t count = read(descriptor, buffer, sizeof buffer);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? 0 : errno;
        counters.received += count;
        for (ssize_t i = 0; i < count; ++i) in_.pass(buffer[i], sender_.octets, counters);
        if (count) active_ = cycle;
        return 0;
    }
    int send(int descriptor) {
        if (outgoing_.empty()) return 0;
        const std::vector<uint8_t> buffer(outgoing_.begin(), outgoing_.end());
        outgoing_.clear();
        const ssize_t count = write(descriptor, buffer.data(), buffer.size());
        if (count < 0 && errno != EAGAIN && errno != EINTR) return errno;
        // A UART does not wait: what the host does not take is gone.
        const size_t taken = count < 0 ? 0 : size_t(count);
        counters.sent += taken;
        counters.lost += buffer.size() - taken;
        return 0;
    }

    Sender sender_;
    Receiver receiver_;
    Line in_, out_;
    std::deque<uint8_t> outgoing_;
    uint64_t active_ = 0;
};

}  // namespace meshium

using meshium::Board;

MESHIUM_API Board* board_new(uint32_t divisor, const meshium::LineParameters* line, int random_reset, int seed) {
    return new Board(divisor, *line, random_reset, seed);
}
// Writes a waveform of the top and its blocks, not of what is inside them.
MESHIUM_API int board_trace_start(Board* board, const char* path) { return board->model.trace_start(path, 2); }
MESHIUM_API void board_set_fault(Board* board, uint32_t number) { board->set_fault(number); }
MESHIUM_API void board_delete(Board* board) { delete board; }
MESHIUM_API int board_serve(Board* board, int descriptor, double seconds) { return board->serve(descriptor, seconds); }
MESHIUM_API uint64_t board_cycle(Board* board) { return board->cycle; }
MESHIUM_API uint32_t board_leds(Board* board) { return board->leds(); }
MESHIUM_API int board_resting(Board* board) { return board->resting(); }
MESHIUM_API void board_counters(Board* board, meshium::LineCounters* out) { *out = board->counters; }
MESHIUM_API const char* board_error(Board* board) {
    if (board->model.ending.finished && board->model.ending.message.empty()) board->model.ending.message = "the model called $finish";
    return board->model.ending.message.c_str();
}
