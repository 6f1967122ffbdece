// Generic harness: nothing in it depends on the design; Python finds variables by name and touches their bytes.
#include "model.h"

using meshium::Model;

MESHIUM_API Model* model_new(int argc, const char** argv, int random_reset, int seed) {
    return new Model(argc, argv, random_reset, seed);
}
MESHIUM_API void model_delete(Model* model) { delete model; }
MESHIUM_API int model_variable(Model* model, uint32_t index, meshium::VariableInfo* out) { return meshium::describe(*model, index, out); }
MESHIUM_API void model_eval(Model* model) {
    model->enter();
    model->eval();
}

// `count` cycles of the 1-bit variable `clock`: low, then high. Stops early at $finish; returns the cycles done.
MESHIUM_API uint64_t model_run(Model* model, uint8_t* clock, uint64_t count) {
    model->enter();
    for (uint64_t done = 0; done < count; ++done) {
        if (model->ending.finished) return done;
        *clock = 0;
        model->eval();
        *clock = 1;
        model->eval();
    }
    return count;
}
MESHIUM_API int model_finished(Model* model) { return model->ending.finished; }
MESHIUM_API void model_set_finished(Model* model, int value) { model->ending.finished = value; }
MESHIUM_API const char* model_message(Model* model) { return model->ending.message.c_str(); }
MESHIUM_API void model_finish_callback(Model* model, void (*callback)(const char*, int, const char*)) { model->ending.callback = callback; }
MESHIUM_API int model_trace_start(Model* model, const char* path) { return model->trace_start(path, 99); }
MESHIUM_API void model_trace_dump(Model* model, uint64_t time) { model->trace_dump(time); }
MESHIUM_API void model_trace_flush(Model* model) { model->trace_flush(); }
MESHIUM_API void model_trace_stop(Model* model) { model->trace_stop(); }
