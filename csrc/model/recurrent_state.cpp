#include "model/recurrent_state.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace engine::model {

RecurrentState::RecurrentState(const HyperParameters& shape) : layer_floats_(shape.recurrent.layer_floats()) {
  places_.reserve(shape.layers);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    places_.push_back(layers_);
    if (shape.is_recurrent(layer)) ++layers_;
  }
}

std::size_t RecurrentState::bytes(const HyperParameters& shape) {
  return 2 * shape.recurrent_layers() * shape.recurrent.layer_floats() * sizeof(float);
}

void RecurrentState::reserve() {
  if (layers_ == 0 || states_[1]) return;
  for (auto& state : states_) state = std::make_shared<AlignedBuffer>(layers_ * layer_floats_ * sizeof(float));
}

void RecurrentState::begin(std::size_t first) {
  if (layers_ == 0) return;
  if (first != 0 && first != positions_) {
    throw std::invalid_argument("recurrent layers have read " + std::to_string(positions_) +
                                " positions, and the step begins at " + std::to_string(first));
  }
  if (first == 0) std::ranges::fill(states_[current_]->bytes(), std::byte{0});
  positions_ = first;
}

void RecurrentState::finish(std::size_t count) {
  current_ = 1 - current_;
  positions_ += count;
}

RecurrentState RecurrentState::fork() const {
  RecurrentState other = *this;
  other.states_ = {};
  if (!states_[current_]) return other;
  other.reserve();
  std::ranges::copy(states_[current_]->bytes(), other.states_[current_]->data());
  return other;
}

}  // namespace engine::model
