#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace engine::runtime {

struct SamplingOptions {
  float temperature = 0.0F;     // 0 is greedy
  std::int32_t top_k = 0;       // 0 keeps all
  float top_p = 1.0F;           // above 0, up to 1
  float min_p = 0.0F;           // 0 to 1
  float repeat_penalty = 1.0F;  // above 0
  std::size_t repeat_last_n = 64;
  std::uint64_t seed = 0;

  bool penalizes() const { return repeat_penalty != 1.0F && repeat_last_n > 0; }
  // The token of the largest logit, the first of equals, whatever the rest.
  bool takes_largest() const { return temperature == 0.0F && !penalizes(); }
};

// Throws std::invalid_argument where an option is outside its range.
void check(const SamplingOptions& options);

// Draws a token: repeat penalty, then greedy, or top-k, top-p, min-p, temperature and a draw, in this order.
// Candidates are ordered by logit, ties by the lower token id. Keeps scratch memory between calls.
class Sampler {
 public:
  // `history` is the sequence so far, `position` that of the token to be drawn. Every logit is finite or minus
  // infinity.
  std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> history, std::uint64_t position,
                      const SamplingOptions& options);

 private:
  struct Candidate {
    float logit;
    std::int32_t token;
    float weight;
  };

  void gather(std::span<const float> logits);
  void keep_top_k(std::size_t count);
  void keep_top_p(float mass);
  void keep_min_p(float share);
  void sort_first(std::size_t count);
  double weigh(float temperature);

  std::vector<float> penalized_;
  std::vector<Candidate> candidates_;
  std::size_t sorted_ = 0;  // how many candidates at the front are in order and precede all others
};

}  // namespace engine::runtime
