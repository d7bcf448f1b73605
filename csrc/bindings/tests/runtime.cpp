#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/register.h"
#include "runtime/grammar/grammar.h"
#include "runtime/loop/compute_share.h"
#include "runtime/loop/event_buffer.h"
#include "runtime/loop/step_planner.h"
#include "runtime/speculation/acceptance.h"
#include "runtime/speculation/draft_planner.h"
#include "runtime/speculation/lookup.h"
#include "runtime/speculation/trials.h"
#include "runtime/stream/stream_writer.h"
#include "text/stop_matcher.h"
#include "text/utf8.h"

// Parts of the run loop, each by itself.
namespace engine::bindings::tests {
namespace {

namespace py = pybind11;
using runtime::EventBuffer;
using runtime::Grammar;
using runtime::GrammarMatcher;
using runtime::SequenceEvents;
using runtime::StepCandidate;
using runtime::StopMatcher;
using runtime::Utf8Stream;

std::vector<std::int32_t> allowed_tokens(GrammarMatcher& matcher) {
  matcher.find_allowed(matcher.allowed().size() * 32);
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < matcher.allowed().size() * 32; ++i) {
    const auto token = static_cast<std::int32_t>(i);
    if (runtime::is_allowed(matcher.allowed(), token)) tokens.push_back(token);
  }
  return tokens;
}

// Guesses that a sequence goes on as a text that is given.
class ScriptedDrafter final : public runtime::Drafter {
 public:
  explicit ScriptedDrafter(std::vector<std::int32_t> text) : text_(std::move(text)) {}

  std::unique_ptr<Drafter> copy() const override { return std::make_unique<ScriptedDrafter>(*this); }
  void guess(std::span<const std::int32_t> tokens, std::size_t most, std::vector<runtime::Guess>& guesses) override {
    for (std::size_t i = tokens.size(); i < text_.size() && i < tokens.size() + most; ++i) {
      guesses.push_back({text_[i], 0});
    }
  }

 private:
  std::vector<std::int32_t> text_;
};

using Guesses = std::vector<std::pair<std::int32_t, std::size_t>>;

// Token and kind of each guess behind the last of `tokens`, after those that came before.
Guesses look_up(const std::vector<std::vector<std::int32_t>>& texts, std::size_t most) {
  runtime::Lookup lookup(texts.back().size());
  std::vector<runtime::Guess> guesses;
  for (const std::vector<std::int32_t>& tokens : texts) {
    guesses.clear();
    lookup.guess(tokens, most, guesses);
  }
  Guesses result;
  for (const runtime::Guess& guess : guesses) result.emplace_back(guess.token, guess.kind);
  return result;
}

std::vector<std::size_t> plan_drafts(const std::vector<std::pair<std::vector<double>, double>>& candidates, double rows,
                                     double tokens, std::size_t free_rows, double drafting) {
  std::vector<runtime::DraftCandidate> given;
  given.reserve(candidates.size());
  for (const auto& [chances, row_cost] : candidates) given.push_back({chances, row_cost});
  return runtime::plan_drafts(given, {rows, tokens, free_rows, drafting});
}

std::vector<bool> plan_draft_round(const std::vector<std::tuple<double, double, double>>& candidates, double rows,
                                   double tokens, std::size_t free_rows, double drafting) {
  std::vector<runtime::DraftRoundCandidate> given;
  given.reserve(candidates.size());
  for (const auto& [chance, row_cost, draft_cost] : candidates) given.push_back({chance, row_cost, draft_cost});
  return runtime::plan_draft_round(given, {rows, tokens, free_rows, drafting});
}

std::vector<double> trial_chances(const std::vector<std::size_t>& wrong_behind,
                                  const std::vector<std::size_t>& tokens) {
  constexpr double kCounted = 0.1;
  constexpr double kSupposed = 0.9;
  runtime::Trials trials;
  for (const std::size_t behind : wrong_behind) trials.note(kCounted, kSupposed, behind, false);
  std::vector<double> chances;
  chances.reserve(tokens.size());
  for (const std::size_t behind : tokens) chances.push_back(trials.chance(kCounted, kSupposed, behind));
  return chances;
}

void register_speculation(py::module_& m) {
  py::class_<ScriptedDrafter, runtime::Drafter, std::shared_ptr<ScriptedDrafter>>(m, "ScriptedDrafter")
      .def(py::init<std::vector<std::int32_t>>(), py::arg("text"));
  py::class_<runtime::Acceptance>(m, "Acceptance")
      .def(py::init<>())
      .def("chance", &runtime::Acceptance::chance, py::arg("kind"))
      .def("note", &runtime::Acceptance::note, py::arg("kind"), py::arg("right"));
  m.def("look_up", &look_up, py::arg("texts"), py::arg("most"));
  m.def("plan_drafts", &plan_drafts, py::arg("candidates"), py::kw_only(), py::arg("rows"), py::arg("tokens"),
        py::arg("free_rows"), py::arg("drafting") = 0.0);
  m.def("plan_draft_round", &plan_draft_round, py::arg("candidates"), py::kw_only(), py::arg("rows"), py::arg("tokens"),
        py::arg("free_rows"), py::arg("drafting") = 0.0);
  m.def("trial_chances", &trial_chances, py::arg("wrong_behind"), py::arg("tokens"));
}

}  // namespace

void register_runtime(py::module_& m) {
  register_speculation(m);
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<GrammarMatcher>(m, "GrammarMatcher")
      .def(py::init([](const std::shared_ptr<Grammar>& grammar) { return std::make_unique<GrammarMatcher>(grammar); }),
           py::arg("grammar").none(false), Release())
      .def("allowed", &allowed_tokens, Release())
      .def("accept", &GrammarMatcher::accept, py::arg("token_id"), Release())
      .def_property_readonly("finished", &GrammarMatcher::finished);
  py::class_<Utf8Stream>(m, "Utf8Stream")
      .def(py::init<>())
      .def("append", [](Utf8Stream& stream, const py::bytes& bytes) { return stream.append(bytes); })
      .def("finish", &Utf8Stream::finish);
  py::class_<StopMatcher>(m, "StopMatcher")
      .def(py::init<std::vector<std::string>>(), py::arg("stops"))
      .def("append", &StopMatcher::append)
      .def_property_readonly("matched", &StopMatcher::matched)
      .def("finish", &StopMatcher::finish);
  py::class_<StepCandidate>(m, "StepCandidate")
      .def(py::init<bool, bool, std::size_t, std::int64_t, std::size_t, std::size_t>(), py::kw_only(),
           py::arg("prefilling"), py::arg("paused") = false, py::arg("waiting"), py::arg("prefill_rank"),
           py::arg("prefill_share"), py::arg("prefill_beside_decode"));
  m.def(
      "plan_step",
      [](const std::vector<StepCandidate>& candidates, std::size_t decode_rows, std::size_t prefill_chunk) {
        return runtime::plan_step(candidates, decode_rows, prefill_chunk);
      },
      py::arg("candidates"), py::arg("decode_rows"), py::arg("prefill_chunk"));
  m.def(
      "row_cost",
      [](const model::Model& model, std::size_t first_position, std::size_t rows, std::size_t logit_rows) {
        return runtime::RowCost(model).of(first_position, rows, logit_rows);
      },
      py::arg("model"), py::arg("first_position"), py::arg("rows"), py::arg("logit_rows"));
  m.def(
      "share", [](double begin, double end, std::int64_t amount) { return runtime::Share{begin, end}.of(amount); },
      py::arg("begin"), py::arg("end"), py::arg("amount"));
  py::class_<EventBuffer>(m, "EventBuffer")
      .def(py::init<>())
      .def_property_readonly("event_fd", &EventBuffer::descriptor)
      .def(
          "add",
          [](EventBuffer& buffer, std::uint64_t sequence_id, std::uint32_t choice, const std::string& text,
             std::int64_t patience_ms, const std::vector<std::int32_t>& token_ids, bool ends) {
            buffer.add(sequence_id, choice, patience_ms * 1'000'000, [&](SequenceEvents& events) {
              events.text += text;
              events.token_ids.insert(events.token_ids.end(), token_ids.begin(), token_ids.end());
              if (ends) events.stop = runtime::StopReason::Cancelled;
            });
          },
          py::arg("sequence_id"), py::arg("choice"), py::arg("text"), py::arg("patience_ms"),
          py::arg("token_ids") = std::vector<std::int32_t>{}, py::arg("ends") = false)
      .def("hasten", &EventBuffer::hasten, py::arg("sequence_id"))
      .def("announce", &EventBuffer::announce)
      .def("drain", &EventBuffer::drain);
  m.def(
      "stream_writer", [](EventBuffer& events) { return std::make_unique<runtime::StreamWriter>(events); },
      py::arg("events"), py::keep_alive<0, 1>());
}

}  // namespace engine::bindings::tests
