#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/thread_team.h"
#include "kernels/attention/kv_block.h"
#include "model/model.h"

namespace engine::model {

struct TextEvaluationOptions {
  std::size_t window;  // tokens that are read together
  unsigned threads;
  std::optional<std::int32_t> bos;  // takes the place of each window's first token
  kernels::KvType kv_type;
  kernels::KvType base_kv_type;
};

// How well a model predicts a text, and where there is a base, how far it departs from that: consecutive windows of
// tokens, each read from an empty cache, each token of a window's second half predicted from those before it. Tokens
// beyond the last whole window are left out.
class TextEvaluation {
 public:
  static constexpr std::size_t kMinWindow = 8;

  // [positions], window after window; those against the base are empty where there is none.
  struct Scores {
    std::vector<double> nll;  // minus the logarithm of the probability that the text's token was given
    std::vector<double> base_nll;
    std::vector<double> divergence;       // from the base's distribution (Kullback-Leibler), nats
    std::vector<std::uint8_t> same_best;  // whether both find the same token the most probable
  };

  struct Progress {
    std::size_t windows_done;
    std::size_t windows_total;
  };

  // `base` may be null. Throws std::invalid_argument (a text shorter than one window, a window too small or beyond a
  // model's context, a token that is not in the vocabulary, vocabularies that differ, no threads).
  TextEvaluation(std::shared_ptr<const Model> model, std::shared_ptr<const Model> base,
                 std::vector<std::int32_t> tokens, const TextEvaluationOptions& options);

  // Once. Throws Cancelled, NonFiniteResult, std::system_error (threads cannot be made), std::bad_alloc,
  // std::logic_error.
  void run();

  // Ends run() within a layer. May be called from any thread, before, during and after it.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  Progress progress() const { return {windows_done_.load(std::memory_order_relaxed), windows_total_}; }

  bool has_base() const { return base_ != nullptr; }
  // Throws std::logic_error before run() has returned.
  const Scores& scores() const;

 private:
  class Reader;

  void check(const Model& model, kernels::KvType kv_type) const;
  void check_tokens() const;
  // Positions of a window that predict its second half: all but the last, whose next token is another window's.
  std::size_t positions_of_window() const { return options_.window - half() - 1; }
  std::size_t half() const { return options_.window / 2; }
  std::vector<std::int32_t> window_tokens(std::size_t window) const;
  void score(std::size_t window, Range positions, const Reader& model, const Reader* base);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Model> base_;
  std::vector<std::int32_t> tokens_;
  TextEvaluationOptions options_;
  std::size_t windows_total_;
  Scores scores_;

  std::atomic<bool> started_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> cancelled_{false};
  std::atomic<std::size_t> windows_done_{0};
};

}  // namespace engine::model
