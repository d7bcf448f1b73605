#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "bindings/arguments.h"
#include "bindings/register.h"
#include "runtime/loop/run_loop.h"
#include "runtime/speculation/lookup.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using runtime::GroupSettings;
using runtime::RunLoop;
using runtime::SequenceEvents;
using runtime::SequenceOptions;

// A group's buffers hold this many rows, so their sizes must stay far from overflowing.
constexpr std::size_t kMaxPrefillChunk = 65536;

GroupSettings group_settings(std::shared_ptr<model::Model> model, unsigned threads, std::int64_t spin_us,
                             std::size_t prefill_chunk) {
  if (threads == 0) throw std::invalid_argument("threads must be at least 1");
  if (prefill_chunk == 0 || prefill_chunk > kMaxPrefillChunk) {
    throw std::invalid_argument("prefill_chunk must be between 1 and " + std::to_string(kMaxPrefillChunk));
  }
  return {std::move(model), threads, std::chrono::microseconds(spin_us), prefill_chunk};
}

runtime::SpeculationOptions speculation_options(std::size_t max_rows, double row_cost,
                                                std::shared_ptr<runtime::Drafter> drafter,
                                                std::shared_ptr<model::Model> draft_model, double draft_cost) {
  require(max_rows >= 1 && max_rows <= runtime::kMaxDecodeRows, "max_rows is out of range");
  require(row_cost >= 0.0, "row_cost must not be below 0");
  require(draft_cost >= 0.0, "draft_cost must not be below 0");
  runtime::SpeculationOptions options{max_rows, row_cost, std::move(drafter)};
  if (draft_model) options.draft_model = {std::move(draft_model), draft_cost};
  return options;
}

void submit(RunLoop& loop, std::uint64_t sequence_id, GroupSettings settings, std::vector<std::int32_t> prompt,
            std::shared_ptr<runtime::Vocabulary> vocabulary, SequenceOptions options) {
  if (options.max_tokens == 0) throw std::invalid_argument("max_tokens must be at least 1");
  if (options.choices == 0 || options.choices > runtime::kMaxDecodeRows) {
    throw std::invalid_argument("choices must be between 1 and " + std::to_string(runtime::kMaxDecodeRows));
  }
  if (options.prefill_share == 0 || options.prefill_beside_decode == 0) {
    throw std::invalid_argument("prefill_share and prefill_beside_decode must be at least 1");
  }
  auto sequence = std::make_unique<runtime::Sequence>(sequence_id, std::move(prompt), std::move(options),
                                                      settings.model->shape(), std::move(vocabulary));
  loop.submit(std::move(settings), std::move(sequence));
}

// In code points, as Python counts.
std::size_t sent_characters(const SequenceEvents& events) {
  const std::string_view sent = std::string_view(events.text).substr(0, events.sent_text);
  return static_cast<std::size_t>(std::ranges::count_if(sent, [](char c) { return (c & 0xc0) != 0x80; }));
}

py::object stop_reason(const SequenceEvents& events) {
  const auto name = runtime::stop_reason_name(events.stop);
  return name.empty() ? py::object(py::none()) : py::object(py::str(name.data(), name.size()));
}

// For each token, in order: its own log probability, and those of the likeliest tokens.
py::list logprobs(const SequenceEvents& events) {
  py::list tokens;
  for (const runtime::TokenLogProbabilities& token : events.logprobs) {
    py::list likeliest;
    for (const auto& [id, value] : token.likeliest) likeliest.append(py::make_tuple(id, value));
    tokens.append(py::make_tuple(token.drawn, likeliest));
  }
  return tokens;
}

// Nanoseconds by operation; None where op_times is off.
py::object operation_ns(const SequenceEvents& events) {
  if (!events.operation_ns) return py::none();
  py::dict times;
  for (std::size_t i = 0; i < events.operation_ns->size(); ++i) {
    times[py::str(std::string(model::kOperationNames[i]))] = (*events.operation_ns)[i];
  }
  return times;
}

py::dict statistics(const RunLoop& loop) {
  const auto s = loop.statistics();
  py::dict result;
  result["sequences"] = s.sequences;
  result["paused"] = s.paused;
  result["kv_cache_bytes"] = s.kv_cache_bytes;
  result["kv_shared_bytes"] = s.kv_shared_bytes;
  result["prefix_cache_blocks"] = s.prefix_cache.blocks;
  result["prefix_cache_bytes"] = s.prefix_cache.bytes;
  result["prefix_cache_idle_bytes"] = s.prefix_cache.idle_bytes;
  result["steps"] = s.steps;
  result["decode_rows"] = s.decode_rows;
  result["prefill_rows"] = s.prefill_rows;
  result["busy_ns"] = s.busy_ns;
  return result;
}

py::tuple compute_times(const RunLoop& loop) {
  const auto times = loop.compute_times();
  py::dict sequences;
  for (const runtime::SequenceTime& time : times.sequences) {
    sequences[py::int_(time.id)] = py::make_tuple(time.compute_ns, time.busy_ns);
  }
  return py::make_tuple(times.busy_ns, sequences);
}

void register_options(py::module_& m) {
  py::class_<GroupSettings>(m, "GroupSettings")
      .def(py::init(&group_settings), py::arg("model").none(false), py::kw_only(), py::arg("threads"),
           py::arg("spin_us"), py::arg("prefill_chunk"));
  py::class_<runtime::ThinkingOptions>(m, "ThinkingOptions")
      .def(py::init([](std::optional<std::int32_t> begin, std::int32_t end, std::optional<std::size_t> limit,
                       bool opened) { return runtime::ThinkingOptions{begin, end, limit, opened}; }),
           py::kw_only(), py::arg("begin"), py::arg("end"), py::arg("limit"), py::arg("opened"));
  // NOLINTNEXTLINE(bugprone-unused-raii): its making registers it
  py::class_<runtime::Drafter, std::shared_ptr<runtime::Drafter>>(m, "Drafter");
  py::class_<runtime::SpeculationOptions>(m, "SpeculationOptions")
      .def(py::init(&speculation_options), py::kw_only(), py::arg("max_rows"), py::arg("row_cost"),
           py::arg("drafter") = nullptr, py::arg("draft_model") = nullptr, py::arg("draft_cost") = 0.0);
  m.def("lookup_bytes", &runtime::Lookup::bytes, py::arg("context_length"));
  py::class_<SequenceOptions>(m, "SequenceOptions")
      .def(py::init(&options_of<SequenceOptions>))
      .def_readwrite("context_length", &SequenceOptions::context_length)
      .def_readwrite("max_tokens", &SequenceOptions::max_tokens)
      .def_property("kv_cache", nullptr,
                    [](SequenceOptions& options, const std::string& name) { options.kv_type = kv_type(name); })
      .def_readwrite("sampling", &SequenceOptions::sampling)
      .def_readwrite("logprobs", &SequenceOptions::logprobs)
      .def_readwrite("choices", &SequenceOptions::choices)
      .def_readwrite("eos_token_ids", &SequenceOptions::end_tokens)
      .def_readwrite("stop_strings", &SequenceOptions::stop_strings)
      .def_readwrite("stop_string_token_ids", &SequenceOptions::stop_string_tokens)
      .def_readwrite("stop_token_ids", &SequenceOptions::stop_tokens)
      .def_property("flush_ms", nullptr,
                    [](SequenceOptions& options, std::int64_t ms) { options.flush_ns = ms * 1'000'000; })
      .def_readwrite("prefill_rank", &SequenceOptions::prefill_rank)
      .def_readwrite("prefill_share", &SequenceOptions::prefill_share)
      .def_readwrite("prefill_beside_decode", &SequenceOptions::prefill_beside_decode)
      .def_readwrite("prefix_cache", &SequenceOptions::prefix_cache)
      .def_readwrite("op_times", &SequenceOptions::op_times)
      .def_property("grammar", nullptr,
                    [](SequenceOptions& options, std::shared_ptr<runtime::Grammar> grammar) {
                      options.grammar = std::move(grammar);
                    })
      .def_readwrite("thinking", &SequenceOptions::thinking)
      .def_readwrite("speculation", &SequenceOptions::speculation)
      .def_readwrite("spelled", &SequenceOptions::spelled);
}

}  // namespace

void register_runtime(py::module_& m) {
  register_options(m);
  m.attr("MAX_DECODE_ROWS") = runtime::kMaxDecodeRows;
  m.attr("DRAFT_FOLLOWING_ROWS") = runtime::Drafting::kFollowing;

  py::class_<SequenceEvents>(m, "SequenceEvents")
      .def_readonly("sequence_id", &SequenceEvents::sequence_id)
      .def_readonly("choice", &SequenceEvents::choice)
      .def_readonly("prefill_start_ns", &SequenceEvents::prefill_start_ns)
      .def_readonly("cached_prompt_tokens", &SequenceEvents::cached_prompt_tokens)
      .def_readonly("token_ids", &SequenceEvents::token_ids)
      .def_readonly("token_times_ns", &SequenceEvents::token_times_ns)
      .def_property_readonly("logprobs", &logprobs)
      .def_readonly("text", &SequenceEvents::text)
      .def_readonly("sent_tokens", &SequenceEvents::sent_tokens)
      .def_property_readonly("sent_characters", &sent_characters)
      .def_property_readonly("stop_reason", &stop_reason)
      .def_readonly("error", &SequenceEvents::error)
      .def_readonly("non_finite", &SequenceEvents::non_finite)
      .def_readonly("logits_digest", &SequenceEvents::logits_digest)
      .def_readonly("compute_ns", &SequenceEvents::compute_ns)
      .def_readonly("kv_cache_bytes", &SequenceEvents::kv_cache_bytes)
      .def_readonly("drafted_tokens", &SequenceEvents::drafted_tokens)
      .def_readonly("accepted_tokens", &SequenceEvents::accepted_tokens)
      .def_readonly("busy_ns", &SequenceEvents::busy_ns)
      .def_readonly("draft_ns", &SequenceEvents::draft_ns)
      .def_property_readonly("operation_ns", &operation_ns);

  // The GIL is released wherever the loop's lock is taken or its thread awaited; the loop itself never asks for it.
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<RunLoop>(m, "RunLoop")
      .def(py::init<std::size_t>(), py::arg("prefix_cache_bytes") = 0)
      .def_property_readonly("event_fd", [](RunLoop& loop) { return loop.events().descriptor(); })
      .def("submit", &submit, py::arg("sequence_id"), py::arg("settings"), py::arg("prompt"),
           py::arg("vocabulary").none(false), py::arg("options"), Release())
      .def("cancel", &RunLoop::cancel, py::arg("sequence_id"), Release())
      .def("pause", &RunLoop::pause, py::arg("sequence_id"), Release())
      .def("resume", &RunLoop::resume, py::arg("sequence_id"), Release())
      .def(
          "drain", [](RunLoop& loop) { return loop.events().drain(); }, Release())
      .def("trim", &RunLoop::trim, Release())
      .def("drop_prefixes", &RunLoop::drop_prefixes, py::arg("bytes"), Release())
      .def("clear_prefixes", &RunLoop::clear_prefixes, Release())
      .def("statistics", &statistics)
      .def("compute_times", &compute_times)
      .def("close", &RunLoop::close, Release());
}

}  // namespace engine::bindings
