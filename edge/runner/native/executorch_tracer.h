// What ExecuTorch tells of an inference's steps: its own, and those that XNNPACK measured within itself.
#ifndef EDGECAT_EXECUTORCH_TRACER_H
#define EDGECAT_EXECUTORCH_TRACER_H

#include <executorch/runtime/core/event_tracer.h>
#include <executorch/runtime/platform/clock.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine.h"

namespace aten = executorch::aten;
namespace runtime = executorch::runtime;

// Keeps the times that ExecuTorch and its delegates tell of one inference.
class Tracer : public runtime::EventTracer {
   public:
    struct Step {
        std::string name;
        StepScope scope;
        uint64_t ns;
    };
    std::vector<Step> steps;

    void create_event_block(const char *) override {}

    runtime::EventTracerEntry start_profiling(const char *name, runtime::ChainID, runtime::DebugHandle) override {
        runtime::EventTracerEntry entry{};
        entry.event_id = int64_t(started.size());
        entry.start_time = runtime::pal_current_ticks();
        started.push_back(name);
        return entry;
    }

    void end_profiling(runtime::EventTracerEntry entry) override {
        const uint64_t ns = since(entry.start_time, runtime::pal_current_ticks());
        const std::string &name = started[size_t(entry.event_id)];
        constexpr std::string_view kernel = "native_call_";
        if (name.compare(0, kernel.size(), kernel) == 0) {
            computed = name.substr(kernel.size());
        } else if (name == "OPERATOR_CALL") {
            steps.push_back({computed, STEP_OPERATOR, ns});
            computed.clear();
        } else if (name == "DELEGATE_CALL") {
            steps.push_back({"", STEP_DELEGATE, ns});
        } else if (name == "Method::execute") {
            steps.push_back({"", STEP_INFERENCE, ns});
        }
    }

    void log_profiling_delegate(const char *name, runtime::DelegateDebugIntId, et_timestamp_t start, et_timestamp_t end,
                                const void *, size_t) override {
        steps.push_back({name ? name : "", STEP_DELEGATED, since(start, end)});
    }

    void forget() {
        steps.clear();
        started.clear();
    }

    runtime::EventTracerEntry start_profiling_delegate(const char *, runtime::DelegateDebugIntId) override { return {}; }
    void end_profiling_delegate(runtime::EventTracerEntry, const void *, size_t) override {}
    void track_allocation(runtime::AllocatorID, size_t) override {}
    runtime::AllocatorID track_allocator(const char *) override { return 0; }
    runtime::Result<bool> log_evalue(const runtime::EValue &, runtime::LoggedEValueType) override { return true; }
    runtime::Result<bool> log_intermediate_output_delegate(const char *, runtime::DelegateDebugIntId, const aten::Tensor &) override {
        return true;
    }
    runtime::Result<bool> log_intermediate_output_delegate(const char *, runtime::DelegateDebugIntId, const runtime::ArrayRef<aten::Tensor>) override {
        return true;
    }
    runtime::Result<bool> log_intermediate_output_delegate(const char *, runtime::DelegateDebugIntId, const int &) override {
        return true;
    }
    runtime::Result<bool> log_intermediate_output_delegate(const char *, runtime::DelegateDebugIntId, const bool &) override {
        return true;
    }
    runtime::Result<bool> log_intermediate_output_delegate(const char *, runtime::DelegateDebugIntId, const double &) override {
        return true;
    }
    void set_delegation_intermediate_output_filter(runtime::EventTracerFilterBase *) override {}

   private:
    static uint64_t since(et_timestamp_t start, et_timestamp_t end) {
        return runtime::ticks_to_ns(end - start);
    }
    std::vector<std::string> started;
    std::string computed;
};

#endif
