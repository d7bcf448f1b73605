#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/model.h"
#include "runtime/loop/prefix_cache.h"
#include "runtime/speculation/speculation.h"

namespace engine::runtime {

// What a draft model has computed of one sequence: keys and values of the tokens that it has been given so far, guesses
// among them.
class DraftContext {
 public:
  // Throws std::invalid_argument where the KV type does not fit the model's heads.
  DraftContext(DraftModel draft, kernels::KvType kv_type, std::size_t context_length);

  // For another sequence that begins with the same tokens: a copy whose cache is its own. Throws std::bad_alloc.
  DraftContext fork() const;

  const std::shared_ptr<const model::Model>& model() const { return draft_.model; }
  double cost() const { return draft_.cost; }
  model::KvCache& cache() { return cache_; }
  const model::KvCache& cache() const { return cache_; }

  // Begins behind a prefix of `prompt`, once, before anything is computed. Throws std::bad_alloc.
  void begin_with(PrefixCache::Prefix prefix, std::span<const std::int32_t> prompt);
  // nullptr where it did not.
  const PrefixCache::Prefix* prefix() const { return prefix_.get(); }

  // Makes room for a step of `rows`: see Sequence. Throws std::bad_alloc.
  void make_room(std::size_t rows);

  // Forgets guesses that are not the sequence's `tokens`. The last of these is then to be computed, again if need be:
  // its logits are wanted.
  void follow(std::span<const std::int32_t> tokens);
  // Positions whose keys and values are in the cache, and their tokens.
  std::size_t computed() const { return tokens_.size(); }
  std::span<const std::int32_t> computed_tokens() const { return tokens_; }
  // Throws std::bad_alloc.
  void mark_computed(std::span<const std::int32_t> tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

 private:
  DraftModel draft_;
  model::KvCache cache_;
  std::vector<std::int32_t> tokens_;
  std::size_t agreed_ = 0;  // of those: the first that are the sequence's
  std::shared_ptr<const PrefixCache::Prefix> prefix_;
};

}  // namespace engine::runtime
