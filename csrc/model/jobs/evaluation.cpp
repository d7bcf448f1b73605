#include "model/jobs/evaluation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <list>
#include <stdexcept>

#include "model/forward/forward_pass.h"

namespace engine::model {
namespace {

void check(const Model& model, const std::vector<std::vector<std::int32_t>>& prompts,
           const EvaluationOptions& options) {
  if (options.threads == 0) throw std::invalid_argument("threads must be at least 1");
  if (options.prefill_chunk == 0) throw std::invalid_argument("prefill_chunk must be at least 1");
  model.require_decoder();
  for (const auto& prompt : prompts) {
    if (prompt.empty()) throw std::invalid_argument("a prompt has no tokens");
    model.require_tokens(prompt);
  }
}

}  // namespace

std::vector<std::vector<float>> evaluate(const Model& model, const std::vector<std::vector<std::int32_t>>& prompts,
                                         const EvaluationOptions& options) {
  check(model, prompts, options);
  std::vector<std::vector<float>> results(prompts.size());
  if (prompts.empty()) return results;
  ThreadTeam team(options.threads, std::chrono::microseconds(50));
  const std::size_t longest = std::ranges::max_element(prompts, {}, &std::vector<std::int32_t>::size)->size();
  const std::size_t chunk = std::min(options.prefill_chunk, longest);
  ForwardPass pass(model, team, chunk * prompts.size());
  std::list<KvCache> caches;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    caches.emplace_back(model.shape(), options.kv_type, prompt.size());
  }
  const std::atomic<bool> never{false};
  for (std::size_t begin = 0; begin < longest; begin += chunk) {
    std::vector<Segment> segments;
    std::vector<std::size_t> owners;  // the prompt of each logit row
    auto cache = caches.begin();
    for (std::size_t i = 0; i < prompts.size(); ++i, ++cache) {
      const std::size_t end = std::min(begin + chunk, prompts[i].size());
      if (begin >= end) continue;
      const bool last = end == prompts[i].size();
      segments.push_back({.cache = &*cache,
                          .first_position = begin,
                          .tokens = {prompts[i].begin() + static_cast<std::ptrdiff_t>(begin),
                                     prompts[i].begin() + static_cast<std::ptrdiff_t>(end)},
                          .want_every_logit = !options.last_only,
                          .want_logits = last});
      owners.insert(owners.end(), options.last_only ? static_cast<std::size_t>(last) : end - begin, i);
    }
    pass.run(segments, never);
    if (const auto place = pass.non_finite(0, pass.rows())) throw NonFiniteResult("the prompts", *place);
    for (std::size_t row = 0; row < owners.size(); ++row) {
      const auto logits = pass.logits(row);
      results[owners[row]].insert(results[owners[row]].end(), logits.begin(), logits.end());
    }
  }
  return results;
}

}  // namespace engine::model
