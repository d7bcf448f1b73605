#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace engine::model {

enum class Part { Embedding, Attention, FeedForward, Output };

// A name such as "feed_forward".
std::string_view part_name(Part part);
constexpr bool is_in_layer(Part part) { return part == Part::Attention || part == Part::FeedForward; }

// Where the values of one position first were NaN or infinite: the part of the model that computed them.
struct NonFinitePlace {
  Part part;
  std::size_t layer;     // 0 for parts outside the layers
  std::size_t position;  // in its sequence

  // A clause such as "the feed-forward of layer 3 gave values that are not finite, at position 17".
  std::string sentence() const;
};

// A model computed NaN or infinities. The message begins with their owner, such as "text 2".
class NonFiniteResult : public std::runtime_error {
 public:
  NonFiniteResult(const std::string& whose, const NonFinitePlace& place)
      : std::runtime_error(whose + ": " + place.sentence()), place_(place) {}

  const NonFinitePlace& place() const { return place_; }

 private:
  NonFinitePlace place_;
};

}  // namespace engine::model
