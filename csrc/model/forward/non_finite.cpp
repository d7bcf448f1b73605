#include "model/forward/non_finite.h"

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

}  // namespace engine::model
