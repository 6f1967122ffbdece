// What every harness needs of a Verilated model: its context, its end conditions, and a table of its public variables.
#ifndef MESHIUM_MODEL_H
#define MESHIUM_MODEL_H

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vmodel.h"
#include "verilated.h"
#include "verilated_syms.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#define MESHIUM_API extern "C" __attribute__((visibility("default")))

namespace meshium {

// One public variable. `direction`: 0 internal, 1 input, 2 output, 3 inout.
struct Variable {
    std::string scope, name;
    uint32_t width = 1, direction = 0, entry_bytes = 0;
    uint64_t depth = 0;  // 0: not an array
    int64_t first = 0;   // lowest index of an array
    void* data = nullptr;
};

// Why a model wants to end.
struct Ending {
    int finished = 0;  // $finish, $stop or a fatal error was reached
    std::string message;
    void (*callback)(const char* file, int line, const char* scope) = nullptr;
};

// Verilator's hooks carry no model: the one that evaluates in this thread is noted here.
inline thread_local Ending* current_ending = nullptr;

class Model {
  public:
    Model(int argc, const char** argv, int random_reset, int seed) {
        context = std::make_unique<VerilatedContext>();
        context->threads(1);
        context->commandArgs(argc, argv);
        context->randReset(random_reset);
        context->randSeed(seed);
#if VM_TRACE
        context->traceEverOn(true);
#endif
        enter();
        top = std::make_unique<Vmodel>(context.get(), "TOP");
        collect();
    }
    ~Model() {
        enter();
        trace_stop();
        top->final();
        top.reset();
        // Nobody may find the context that goes now.
        current_ending = nullptr;
        Verilated::threadContextp(nullptr);
    }
    // Before any evaluation: system tasks ask the thread, not the model, whose they are.
    void enter() {
        current_ending = &ending;
        Verilated::threadContextp(context.get());
    }
    void eval() { top->eval(); }
    bool trace_start(const char* path, int depth) {
        enter();
#if VM_TRACE
        vcd = std::make_unique<VerilatedVcdC>();
        top->trace(vcd.get(), depth);
        vcd->open(path);
        if (vcd->isOpen()) return true;
        vcd.reset();
#endif
        return false;
    }
    void trace_dump(uint64_t time) {
#if VM_TRACE
        if (vcd) vcd->dump(time);
#endif
    }
    void trace_flush() {
#if VM_TRACE
        if (vcd) vcd->flush();
#endif
    }
    void trace_stop() {
#if VM_TRACE
        if (vcd) vcd->close();
        vcd.reset();
#endif
    }
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<Vmodel> top;
    std::vector<Variable> variables;
    Ending ending;

  private:
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> vcd;
#endif
    void collect();
};

inline void Model::collect() {
    const VerilatedScopeNameMap* scopes = context->scopeNameMap();
    if (!scopes) return;
    for (const auto& [scope_name, scope] : *scopes) {
        const VerilatedVarNameMap* map = scope->varsp();
        if (!map) continue;
        for (const auto& [key, var] : *map) {
            if (var.isParam()) continue;
            Variable entry;
            entry.scope = scope_name;
            entry.name = var.name();
            entry.width = var.entBits();
            entry.entry_bytes = var.entSize();
            entry.data = var.datap();
            if (var.vldir() == VLVD_IN || var.vldir() == VLVD_INOUT) entry.direction |= 1;
            if (var.vldir() == VLVD_OUT || var.vldir() == VLVD_INOUT) entry.direction |= 2;
            if (var.udims() > 0) {
                entry.depth = 1;
                for (const VerilatedRange& range : var.unpackedRanges()) entry.depth *= range.elements();
                entry.first = var.unpackedRanges()[0].low();
            }
            variables.push_back(entry);
        }
    }
}

// C view of `Variable`, filled for Python.
struct VariableInfo {
    const char* scope;
    const char* name;
    uint32_t width, direction, entry_bytes;
    uint64_t depth;
    int64_t first;
    void* data;
};

inline int describe(const Model& model, uint32_t index, VariableInfo* out) {
    if (index >= model.variables.size()) return 0;
    const Variable& v = model.variables[index];
    *out = VariableInfo{v.scope.c_str(), v.name.c_str(), v.width, v.direction, v.entry_bytes, v.depth, v.first, v.data};
    return 1;
}

}  // namespace meshium

// Each harness is one translation unit with this header, so the hooks are defined here.
void vl_finish(const char* file, int line, const char* scope) VL_MT_UNSAFE {
    meshium::Ending* ending = meshium::current_ending;
    if (!ending) return;
    if (ending->callback) return ending->callback(file, line, scope);
    ending->finished = 1;
}
void vl_stop(const char* file, int line, const char* scope) VL_MT_UNSAFE {
    meshium::Ending* ending = meshium::current_ending;
    if (!ending) return;
    ending->finished = 1;
    if (ending->message.empty()) ending->message = std::string(file) + ":" + std::to_string(line) + ": $stop or failed assertion in " + scope;
}
void vl_fatal(const char* file, int line, const char* scope, const char* text) VL_MT_UNSAFE {
    meshium::Ending* ending = meshium::current_ending;
    if (!ending) return;
    ending->finished = 1;
    if (ending->message.empty()) ending->message = std::string(file) + ":" + std::to_string(line) + ": " + text + " in " + scope;
}

#endif
