// What the traffic engine of a mesh knows of packets: random numbers, the job Python hands over, sources, and the scoreboard.
#ifndef MESHIUM_NOC_TRAFFIC_H
#define MESHIUM_NOC_TRAFFIC_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace meshium {

// Bijective mixing of 64 bits: the step of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
inline uint64_t mix(uint64_t value) {
    value += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

// xoshiro256** (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021).
class Xoshiro {
  public:
    explicit Xoshiro(uint64_t seed) {
        for (int i = 0; i < 4; ++i) state_[i] = mix(seed * 4 + i);
    }
    uint64_t next() {
        const uint64_t result = rotate(state_[1] * 5, 7) * 9, shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate(state_[3], 45);
        return result;
    }
    double real() { return double(next() >> 11) * 0x1p-53; }  // 0 to 1, 1 left out
    bool chance(double probability) { return real() < probability; }
    uint32_t below(uint32_t limit) { return uint32_t((next() >> 32) * limit >> 32); }

  private:
    static uint64_t rotate(uint64_t value, int by) { return value << by | value >> (64 - by); }
    uint64_t state_[4];
};

constexpr uint32_t NEVER = 0xFFFFFFFFu;

struct Packet {  // `PACKET_DTYPE` in noc.py
    uint32_t created, injected, ejected;  // cycles: generation, head into the mesh, tail out of it
    uint32_t sequence;                    // among the packets of its source and destination
    uint32_t first_flit;                  // number of its first flit among all flits
    uint16_t source, destination, length, received;
    uint8_t network, service, vc, measured;
};
static_assert(sizeof(Packet) == 32, "Python reads an array of these");

struct Job {  // `_Job` in noc.py
    uint32_t nodes, mesh_x, networks, services, vcs, depth, words;
    uint32_t age_tick, stamp_mask;
    uint32_t ordered, check_order;  // packets ask to stay in order; order among the packets of a VC is checked
    uint32_t length, length_max;    // length_max 0: all of `length` flits
    uint32_t warmup, cycles, tail_limit, quiet_limit;
    uint32_t fault, fault_at;  // spoils the ejected flit with this number, to test the scoreboard
    uint64_t seed;
    double start, start_on, stop_on;  // chances a cycle: a packet starts (while on), off to on, on to off
    double stall;
    const double* probability;  // alias tables, row by source; null: `list` is all there is
    const int32_t* alias;
    const uint8_t* sends;
    const Packet* list;  // by cycle of creation
    uint64_t list_count;
};

struct Counts {  // `_Counts` in noc.py
    uint64_t cycle, offered_flits, accepted_flits, injected_flits, delivered_flits;
    uint64_t lost, duplicated, misrouted, reordered, corrupted, overflowed;
    uint64_t packets, dropped, phase, stuck;
};

enum Fault : uint32_t { NO_FAULT = 0, FLIP = 1, DROP = 2, REPEAT = 3, MOVE = 4, SWAP = 5, UNTAIL = 6, HOLD = 7 };

// A flit on its way out of the mesh.
struct Ejected {
    uint32_t node, vc, x, y;
    bool tail;
    uint64_t payload[8];
};

// Payloads: packet, flit and a hash in the first word, only hash in the others, so that a wrong bit anywhere shows.
inline uint64_t payload_word(uint64_t seed, uint32_t packet, uint32_t flit, uint32_t word) {
    const uint64_t hash = mix(seed ^ mix(uint64_t(packet) << 16 | flit << 4 | word));
    return word ? hash : (uint64_t(packet) | uint64_t(flit) << 32 | hash << 40);
}

// Compares what comes out with what went in.
class Scoreboard {
  public:
    void start(const Job& job) {
        job_ = job;
        open_.assign(size_t(job.nodes) * job.vcs, NEVER);
        last_.assign(size_t(job.nodes) * job.nodes * job.vcs, 0);
        seen_.clear();
        source_flits.assign(job.nodes, 0);
    }
    void expect(const Packet& packet) { seen_.resize(packet.first_flit + packet.length, 0); }

    // Every flit is either right and counted, or adds to one count of errors.
    void check(const Ejected& out, uint32_t cycle, bool in_window, std::vector<Packet>& packets, Counts& counts) {
        const uint32_t id = uint32_t(out.payload[0]), flit = uint32_t(out.payload[0] >> 32 & 0xFF);
        if (!authentic(out, id, flit, packets)) {
            ++counts.corrupted;
            return;
        }
        Packet& packet = packets[id];
        if (packet.destination != out.node) {
            ++counts.misrouted;
            return;
        }
        if (seen_[packet.first_flit + flit]) {
            ++counts.duplicated;
            return;
        }
        seen_[packet.first_flit + flit] = 1;
        if (!in_order(out, id, flit, packet)) ++counts.reordered;
        packet.vc = uint8_t(out.vc);
        if (++packet.received == packet.length) packet.ejected = cycle;
        ++counts.delivered_flits;
        if (in_window) {
            ++counts.accepted_flits;
            ++source_flits[packet.source];
        }
    }

    std::vector<uint64_t> source_flits;  // ejected in the window, by source

  private:
    bool authentic(const Ejected& out, uint32_t id, uint32_t flit, const std::vector<Packet>& packets) const {
        if (id >= packets.size() || packets[id].injected == NEVER || flit >= packets[id].length) return false;
        for (uint32_t word = 0; word < job_.words; ++word) {
            if (out.payload[word] != payload_word(job_.seed, id, flit, word)) return false;
        }
        const Packet& packet = packets[id];
        return out.tail == (flit + 1 == packet.length) && out.y * job_.mesh_x + out.x == packet.destination;
    }
    bool in_order(const Ejected& out, uint32_t id, uint32_t flit, const Packet& packet) {
        uint32_t& open = open_[size_t(out.node) * job_.vcs + out.vc];
        bool good = flit ? open == id && packet.received == flit : open == NEVER;
        open = flit + 1 == packet.length ? NEVER : id;
        if (flit || !job_.check_order) return good;
        uint32_t& last = last_[(size_t(packet.source) * job_.nodes + packet.destination) * job_.vcs + out.vc];
        if (packet.sequence + 1 <= last) good = false;
        last = packet.sequence + 1;
        return good;
    }

    Job job_{};
    std::vector<uint32_t> open_;  // packet under way, by node and VC
    std::vector<uint32_t> last_;  // sequence of the last packet, plus 1, by source, destination and VC
    std::vector<uint8_t> seen_;   // by flit
};

// Creates packets and keeps those that wait to enter the mesh: a queue without end for each node and network.
class Sources {
  public:
    struct Queue {
        std::vector<uint32_t> packets;
        size_t first = 0;
        uint32_t flit = 0;  // of the first packet, to go next
        bool empty() const { return first == packets.size(); }
        uint32_t front() const { return packets[first]; }
    };

    void start(const Job& job) {
        job_ = job;
        random_ = Xoshiro(job.seed);
        queues.assign(size_t(job.nodes) * job.networks, Queue{});
        on_.assign(job.nodes, 0);
        for (uint32_t node = 0; node < job.nodes; ++node) on_[node] = random_.chance(job.start_on / (job.start_on + job.stop_on));
        sequence_.assign(size_t(job.nodes) * job.nodes, 0);
        next_ = 0;
        flits_ = 0;
    }
    bool list_done() const { return next_ == job_.list_count; }

    // The packets of one cycle are appended to `packets`.
    void generate(uint32_t cycle, bool measured, std::vector<Packet>& packets) {
        while (next_ < job_.list_count && job_.list[next_].created <= cycle) add(job_.list[next_++], packets);
        if (!job_.probability) return;
        for (uint32_t node = 0; node < job_.nodes; ++node) {
            if (!job_.sends[node]) continue;
            if (on_[node] && random_.chance(job_.start)) {
                Packet packet{};
                packet.created = cycle;
                packet.source = uint16_t(node);
                packet.destination = uint16_t(destination(node));
                packet.length = uint16_t(job_.length_max ? 1 + random_.below(job_.length_max) : job_.length);
                packet.network = uint8_t(random_.below(job_.networks));
                packet.service = uint8_t(random_.below(job_.services));
                packet.measured = measured;
                add(packet, packets);
            }
            on_[node] = on_[node] ? !random_.chance(job_.stop_on) : random_.chance(job_.start_on);
        }
    }
    // Packets that are not offered to the mesh yet never will be; their number.
    uint64_t drop() {
        uint64_t dropped = 0;
        for (Queue& queue : queues) {
            const size_t keep = std::min(queue.first + 1, queue.packets.size());
            dropped += queue.packets.size() - keep;
            queue.packets.resize(keep);
        }
        return dropped;
    }

    std::vector<Queue> queues;

  private:
    uint32_t destination(uint32_t node) {
        const size_t place = size_t(node) * job_.nodes + random_.below(job_.nodes);
        return random_.chance(job_.probability[place]) ? uint32_t(place % job_.nodes) : uint32_t(job_.alias[place]);
    }
    void add(Packet packet, std::vector<Packet>& packets) {
        packet.injected = packet.ejected = NEVER;
        packet.received = 0;
        packet.first_flit = flits_;
        packet.sequence = sequence_[size_t(packet.source) * job_.nodes + packet.destination]++;
        flits_ += packet.length;
        queues[size_t(packet.source) * job_.networks + packet.network].packets.push_back(uint32_t(packets.size()));
        packets.push_back(packet);
    }

    Job job_{};
    Xoshiro random_{0};
    std::vector<uint8_t> on_;
    std::vector<uint32_t> sequence_;  // by source and destination
    uint64_t next_ = 0;
    uint32_t flits_ = 0;
};

}  // namespace meshium
#endif
