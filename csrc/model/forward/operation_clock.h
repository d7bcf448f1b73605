#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/steady_time.h"

namespace engine::model {

// What the time of a step goes to.
enum class Operation : std::uint8_t {
  Embedding,      // rows of the token embedding
  Norm,           // RMS norms
  QuantizeInput,  // inputs of projections in the formats that these read
  Matmul,         // projections of the layers, with their biases
  Rope,           // rotation of queries and keys
  KvStore,        // keys and values into the cache
  Attention,
  Activation,  // SiLU of the gates, times up
  Residual,    // what layers add to the residual stream
  Logits,      // the head's projection, the digest of the logits and the largest
  Grammar,     // finding the tokens that a grammar allows, and taking in those drawn
  Sampling,    // drawing tokens
  Detokenize,  // tokens into text, and the search for stops
  Draft,       // all steps of draft models
  Wait,        // for other members of the team
  Other,       // planning the step, room in caches, events
};

// The protocol's names, in the order of Operation.
inline constexpr std::array<std::string_view, 16> kOperationNames{
    "embedding", "norm",   "quantize_input", "matmul",   "rope",       "kv_store", "attention", "activation",
    "residual",  "logits", "grammar",        "sampling", "detokenize", "draft",    "wait",      "other"};
static_assert(static_cast<std::size_t>(Operation::Other) + 1 == kOperationNames.size());

// Nanoseconds by operation.
using OperationTimes = std::array<std::int64_t, kOperationNames.size()>;

// Divides the time of one thread among operations: what has passed since the mark before goes to the operation named.
class OperationClock {
 public:
  void begin(std::int64_t now_ns) {
    times_.fill(0);
    mark_ns_ = now_ns;
  }
  void charge(Operation operation) { charge(operation, steady_ns()); }
  void charge(Operation operation, std::int64_t now_ns) {
    times_[static_cast<std::size_t>(operation)] += now_ns - mark_ns_;
    mark_ns_ = now_ns;
  }

  // They add up to what has passed from begin() to the last mark.
  const OperationTimes& times() const { return times_; }

 private:
  OperationTimes times_{};
  std::int64_t mark_ns_ = 0;
};

}  // namespace engine::model
