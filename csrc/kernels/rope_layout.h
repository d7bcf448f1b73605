#pragma once

namespace engine::kernels {

// The channels that the rotary embedding turns together.
enum class RopeLayout { Adjacent, Halves };  // pairs (2i, 2i + 1), or (i, i + dimensions / 2)

}  // namespace engine::kernels
