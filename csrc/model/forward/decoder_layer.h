#pragma once

#include <cstddef>

#include "model/load/weights.h"

namespace engine::model {

class Worker;

// The layer of every architecture: attention, then a feed-forward or experts, each added to the residual. What a
// model does not have, a norm or a window, its shape leaves out.
void decoder_layer(Worker& worker, const Layer& layer, std::size_t index);

}  // namespace engine::model
