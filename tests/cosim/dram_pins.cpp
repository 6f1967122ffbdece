// The DRAM model alone, a cycle at a time, for tests that play the master.
#include "dram.h"

#define API extern "C" __attribute__((visibility("default")))
using namespace meshium;

API Dram* dram_new(const DramParameters* parameters, uint8_t* memory) { return new Dram(*parameters, memory); }
API void dram_delete(Dram* dram) { delete dram; }
API void dram_poison(Dram* dram, uint64_t first, uint64_t end) { dram->poison.push_back({first, end}); }
API void dram_step(Dram* dram, const MasterPins* master, SlavePins* slave, int in_reset, uint64_t cycle) { *slave = dram->step(*master, in_reset, cycle); }
API const char* dram_violation(Dram* dram) { return dram->violation().c_str(); }
API int dram_idle(Dram* dram) { return dram->idle(); }
