#include "model/forward/non_finite.h"

#include "model/forward/non_finite_rows.h"

namespace engine::model {
namespace {

std::string_view title(Part part) {
  switch (part) {
    case Part::Embedding:
      return "the token embedding";
    case Part::Attention:
      return "the attention";
    case Part::FeedForward:
      return "the feed-forward";
    case Part::Output:
      break;
  }
  return "the output";
}

}  // namespace

std::string_view part_name(Part part) {
  switch (part) {
    case Part::Embedding:
      return "embedding";
    case Part::Attention:
      return "attention";
    case Part::FeedForward:
      return "feed_forward";
    case Part::Output:
      break;
  }
  return "output";
}

std::string NonFinitePlace::sentence() const {
  std::string text(title(part));
  if (is_in_layer(part)) text += " of layer " + std::to_string(layer);
  return text + " gave values that are not finite, at position " + std::to_string(position);
}

NonFinitePlace NonFiniteRows::place(std::uint32_t stage, std::size_t position) const {
  if (stage == 0) return {Part::Embedding, 0, position};
  const std::size_t layer = (stage - 1) / 2;
  if (layer == layers_) return {Part::Output, 0, position};
  return {stage % 2 == 1 ? Part::Attention : Part::FeedForward, layer, position};
}

}  // namespace engine::model
