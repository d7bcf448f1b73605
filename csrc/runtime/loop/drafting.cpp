#include "runtime/loop/drafting.h"

#include <algorithm>
#include <new>
#include <utility>

#include "kernels/kernel_table.h"

namespace engine::runtime {
namespace {

// Each has buffers of some MB.
constexpr std::size_t kMostPasses = 2;

// Whether a model may guess one more token of a sequence in this step.
bool may_guess(const Drafting::Entry& entry, const model::Model* model, std::size_t waiting) {
  const DraftContext* context = entry.sequence->draft_context();
  if (context == nullptr || context->model().get() != model || entry.no_memory) return false;
  const std::size_t behind = entry.sequence->draft_waiting();
  if (behind == 0 || (behind > Drafting::kFollowing && waiting == 0)) return false;
  return entry.sequence->speculation()->open();
}

std::vector<Drafting::Entry*> choose(std::span<Drafting::Entry> entries, const model::Model* model,
                                     const StepRows& step, std::size_t waiting) {
  std::vector<Drafting::Entry*> open;
  std::vector<DraftRoundCandidate> candidates;
  for (Drafting::Entry& entry : entries) {
    if (!may_guess(entry, model, waiting)) continue;
    const Speculation& speculation = *entry.sequence->speculation();
    open.push_back(&entry);
    candidates.push_back({.chance = speculation.next_chance(),
                          .row_cost = speculation.row_cost(),
                          .draft_cost = entry.sequence->draft_context()->cost()});
  }
  const std::vector<bool> chosen = plan_draft_round(candidates, step);
  std::vector<Drafting::Entry*> guessing;
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (chosen[i]) guessing.push_back(open[i]);
  }
  return guessing;
}

// How many tokens of a sequence a round computes; takes those that have waited from `waiting`.
std::size_t take_rows(std::size_t behind, std::size_t& waiting) {
  if (behind <= Drafting::kFollowing) return behind;
  const std::size_t rows = std::min(behind, waiting);
  waiting -= rows;
  return rows;
}

bool reserve(Drafting::Entry& entry, std::size_t rows) {
  DraftContext& context = *entry.sequence->draft_context();
  try {
    context.make_room(rows);
  } catch (const std::bad_alloc&) {
    entry.no_memory = true;
  }
  return !entry.no_memory;
}

void append_guess(const model::ForwardPass& pass, const kernels::KernelTable& kernels, bool finite,
                  std::size_t logit_row, Sequence& sequence, StepRows& step) {
  const std::int32_t token = pass.best_token(logit_row);
  const std::span<const float> logits = pass.logits(logit_row);
  double sure = 0.0;
  if (finite) {
    const float largest = logits[static_cast<std::size_t>(token)];
    sure = 1.0 / kernels.sum_exponentials(logits.data(), largest, logits.size());
  }
  sequence.speculation()->append(token, sure);
  step.rows += 1.0;
  step.tokens += sequence.speculation()->chances().back();
  --step.free_rows;
}

}  // namespace

Drafting::Pass::Pass(std::shared_ptr<const model::Model> of, ThreadTeam& team, std::size_t rows)
    : model(std::move(of)), row_cost(*model), forward(*model, team, rows) {}

bool Drafting::run(std::span<Entry> entries, StepRows& step, std::size_t waiting, const std::atomic<bool>& abort) {
  StepRows grown = step;
  bool computed = false;
  std::vector<std::shared_ptr<const model::Model>> had;
  for (const Entry& entry : entries) {
    const DraftContext* context = entry.sequence->draft_context();
    if (context == nullptr || std::ranges::find(had, context->model()) != had.end()) continue;
    had.push_back(context->model());
    computed = run_model(context->model(), entries, grown, waiting, abort) || computed;
  }
  step.drafting = grown.drafting;
  return computed;
}

bool Drafting::run_model(const std::shared_ptr<const model::Model>& model, std::span<Entry> entries, StepRows& step,
                         std::size_t& waiting, const std::atomic<bool>& abort) {
  bool computed = false;
  while (true) {
    std::vector<Part> parts;
    std::vector<model::Segment> segments;
    for (Entry* entry : choose(entries, model.get(), step, waiting)) {
      Sequence& sequence = *entry->sequence;
      DraftContext& context = *sequence.draft_context();
      const std::size_t behind = sequence.draft_waiting();
      const std::size_t rows = take_rows(behind, waiting);
      if (rows == 0 || !reserve(*entry, rows)) continue;
      const double row_cost = sequence.speculation()->row_cost();
      step.drafting += context.cost() * (parts.empty() ? 1.0 : row_cost);
      parts.push_back({.entry = entry, .tokens = sequence.draft_tokens(rows), .guesses = rows == behind});
      segments.push_back({.cache = &context.cache(),
                          .first_position = context.computed(),
                          .tokens = parts.back().tokens,
                          .want_every_logit = false,
                          .want_logits = parts.back().guesses});
    }
    if (parts.empty()) return computed;
    Pass& pass = pass_of(model);
    if (!pass.forward.run(segments, abort)) return computed;
    computed = true;
    std::size_t row = 0;
    std::size_t logit_row = 0;
    for (const Part& part : parts) {
      Sequence& sequence = *part.entry->sequence;
      DraftContext& context = *sequence.draft_context();
      part.entry->cost += pass.row_cost.of(context.computed(), part.tokens.size(), part.guesses ? 1 : 0);
      context.mark_computed(part.tokens);
      const bool finite = !pass.forward.non_finite(row, part.tokens.size());
      row += part.tokens.size();
      if (part.guesses) append_guess(pass.forward, model->kernels(), finite, logit_row++, sequence, step);
    }
  }
}

Drafting::Pass& Drafting::pass_of(const std::shared_ptr<const model::Model>& model) {
  const auto found = std::ranges::find(passes_, model, &Pass::model);
  if (found != passes_.end()) {
    passes_.splice(passes_.end(), passes_, found);
    return passes_.back();
  }
  if (passes_.size() == kMostPasses) passes_.pop_front();
  return passes_.emplace_back(model, team_, rows_);
}

std::vector<std::shared_ptr<const model::Model>> Drafting::models() const {
  std::vector<std::shared_ptr<const model::Model>> models;
  for (const Pass& pass : passes_) models.push_back(pass.model);
  return models;
}

void Drafting::forget(const std::shared_ptr<const model::Model>& model) {
  passes_.remove_if([&](const Pass& pass) { return pass.model == model; });
}

}  // namespace engine::runtime
