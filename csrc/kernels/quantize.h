#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float16.h"
#include "kernels/lane_search.h"
#include "quant/block.h"
#include "quant/block_encoding.h"
#include "quant/row_quantizer.h"
#include "quant/scale_search.h"

// Blocks from the scales that kernels/lane_search.h finds, whose `Simd` this takes. In an anonymous namespace, so that
// each object has its own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

// --- codes, in the order of the values -----------------------------------------------------------------------------

// `count` a multiple of 16.
template <typename Simd>
void store_affine_codes(const float* x, std::size_t count, float minimum, float inverse, int limit,
                        std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const auto scaled = Simd::broadcast(inverse) * (Simd::load(x + i) - Simd::broadcast(minimum));
    Simd::store_bytes(affine_code<Simd, false>(scaled, Simd::broadcast(static_cast<float>(limit))), codes + i);
  }
}

template <typename Simd>
typename Simd::Float symmetric_code(typename Simd::Float scaled, int limit) {
  const auto offset = Simd::broadcast(static_cast<float>(limit));
  const auto least = Simd::broadcast(static_cast<float>(-limit));
  const auto greatest = Simd::broadcast(static_cast<float>(limit - 1));
  return Simd::min(Simd::max(Simd::nearest(scaled), least), greatest) + offset;
}

template <typename Simd>
void store_symmetric_codes(const float* x, std::size_t count, float inverse, int limit, std::uint8_t* codes) {
  if (inverse == 0) {
    std::memset(codes, 0, count);
    return;
  }
  for (std::size_t i = 0; i < count; i += kLanes) {
    Simd::store_bytes(symmetric_code<Simd>(Simd::broadcast(inverse) * Simd::load(x + i), limit), codes + i);
  }
}

template <typename Simd>
struct AffineLanes {
  explicit AffineLanes(const AffineFound<Simd>& found) {
    Simd::store(found.scale, scale.data());
    Simd::store(Simd::negative(found.minimum), minimum.data());
    Simd::store(found.code_inverse, code_inverse.data());
    Simd::store(found.code_minimum, code_minimum.data());
  }
  alignas(64) std::array<float, kLanes> scale;
  alignas(64) std::array<float, kLanes> minimum;  // 0 or more, as a block has it
  alignas(64) std::array<float, kLanes> code_inverse;
  alignas(64) std::array<float, kLanes> code_minimum;
};

// --- super-blocks --------------------------------------------------------------------------------------------------

inline constexpr std::size_t kPart = quant::kSuperBlock / quant::kAffineParts;
inline constexpr std::size_t kSmallPart = quant::kSuperBlock / quant::kSymmetricParts;

// Weights for up to two super-blocks. `importance`: of their columns, or null.
template <typename Simd>
void weigh_affine_parts(const float* x, std::size_t blocks, const float* importance, Parts<Simd, kPart>& parts) {
  using Float = typename Simd::Float;
  if (importance == nullptr) {
    Float squares = Simd::broadcast(0);
    for (std::size_t i = 0; i < kPart; ++i) squares = squares + parts.x[i] * parts.x[i];
    const Float average = Simd::root(squares / Simd::broadcast(static_cast<float>(kPart)));
    for (std::size_t i = 0; i < kPart; ++i) parts.weights.set(i, average + Simd::absolute(parts.x[i]));
    return;
  }
  alignas(64) std::array<float, kLanes> mean_square{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const float sum = quant::sum_of_squares(x + b * quant::kSuperBlock, quant::kSuperBlock);
    std::fill_n(mean_square.begin() + static_cast<std::ptrdiff_t>(b * quant::kAffineParts), quant::kAffineParts,
                2 * sum / static_cast<float>(quant::kSuperBlock));
  }
  load_parts<Simd, kPart>(importance, blocks * quant::kAffineParts, parts.weights);
  weigh<Simd, kPart>(parts, Simd::load(mean_square.data()));
}

// Codes of one super-block from the scales as they are stored.
template <typename Simd>
void finish_affine_block(TensorType type, int limit, const float* x, const quant::AffineParts& stored,
                         const AffineLanes<Simd>& lanes, std::size_t first_lane, std::byte* out) {
  std::array<std::uint8_t, quant::kSuperBlock> codes;
  const auto greatest = Simd::broadcast(static_cast<float>(limit));
  for (std::size_t j = 0; j < quant::kAffineParts; ++j) {
    const float* part = x + j * kPart;
    std::uint8_t* part_codes = codes.data() + j * kPart;
    if (stored.part_scale[j] == 0) {
      store_affine_codes<Simd>(part, kPart, lanes.code_minimum[first_lane + j], lanes.code_inverse[first_lane + j],
                               limit, part_codes);
      continue;
    }
    const auto minimum = Simd::broadcast(stored.part_minimum[j]);
    const auto scale = Simd::broadcast(stored.part_scale[j]);
    for (std::size_t i = 0; i < kPart; i += kLanes) {
      const auto scaled = (Simd::load(part + i) + minimum) / scale;
      Simd::store_bytes(affine_code<Simd, false>(scaled, greatest), part_codes + i);
    }
  }
  quant::encode_super_block(type, stored.scale, stored.minimum, stored.packed.data(), codes.data(), out);
}

// Q4_K and Q5_K. x: [blocks, 256].
template <typename Simd>
void quantize_affine_super_blocks(TensorType type, const float* x, std::size_t blocks, const float* importance,
                                  std::byte* out) {
  constexpr std::size_t kTogether = kLanes / quant::kAffineParts;
  const std::size_t block_bytes = gguf::type_traits(type).block_bytes;
  const int limit = gguf::type_traits(type).largest_code();
  const quant::SearchGrid& grid = importance != nullptr      ? quant::kImportanceGrid
                                  : type == TensorType::Q4_K ? quant::kFourBitGrid
                                                             : quant::kFiveBitGrid;
  for (std::size_t b = 0; b < blocks; b += kTogether) {
    const std::size_t count = std::min(kTogether, blocks - b);
    const float* values = x + b * quant::kSuperBlock;
    Parts<Simd, kPart> parts;
    load_parts<Simd, kPart>(values, count * quant::kAffineParts, parts.x);
    weigh_affine_parts<Simd>(values, count, importance != nullptr ? importance + b * quant::kSuperBlock : nullptr,
                             parts);
    const AffineLanes<Simd> lanes(search_affine<Simd, kPart>(parts, limit, grid));
    alignas(64) std::array<float, kLanes> weight_sums;
    auto sums = Simd::broadcast(0);
    for (std::size_t i = 0; i < kPart; ++i) sums = sums + parts.weights[i];
    Simd::store(sums, weight_sums.data());
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t lane = k * quant::kAffineParts;
      const quant::AffineParts stored =
          quant::affine_parts(type, lanes.scale.data() + lane, lanes.minimum.data() + lane,
                              importance != nullptr ? weight_sums.data() + lane : nullptr);
      finish_affine_block<Simd>(type, limit, values + k * quant::kSuperBlock, stored, lanes, lane,
                                out + (b + k) * block_bytes);
    }
  }
}

// x: [256]. `importance`: of its columns, or null.
template <typename Simd>
void quantize_q6_k(const float* x, const float* importance, std::byte* out) {
  constexpr int kOffset = gguf::kTraits<TensorType::Q6_K>.code_offset;
  Parts<Simd, kSmallPart> parts;
  load_parts<Simd, kSmallPart>(x, kLanes, parts.x);
  if (importance != nullptr) {
    load_parts<Simd, kSmallPart>(importance, kLanes, parts.weights);
  } else {
    for (std::size_t i = 0; i < kSmallPart; ++i) parts.weights.set(i, parts.x[i] * parts.x[i]);
  }
  const SymmetricFound<Simd> found = search_symmetric<Simd, kSmallPart>(parts, kOffset);
  alignas(64) std::array<float, kLanes> scales;
  alignas(64) std::array<float, kLanes> inverses;
  Simd::store(found.scale, scales.data());
  Simd::store(found.code_inverse, inverses.data());
  const quant::SymmetricParts stored = quant::symmetric_parts(scales.data());
  if (stored.zero) {
    std::memset(out, 0, gguf::type_traits(TensorType::Q6_K).block_bytes);
    return;
  }
  std::array<std::uint8_t, quant::kSuperBlock> codes;
  for (std::size_t j = 0; j < quant::kSymmetricParts; ++j) {
    const float* part = x + j * kSmallPart;
    std::uint8_t* part_codes = codes.data() + j * kSmallPart;
    if (stored.part_scale[j] == 0) {
      store_symmetric_codes<Simd>(part, kSmallPart, inverses[j], kOffset, part_codes);
    } else {
      const auto scaled = Simd::load(part) / Simd::broadcast(stored.part_scale[j]);
      Simd::store_bytes(symmetric_code<Simd>(scaled, kOffset), part_codes);
    }
  }
  quant::encode_super_block(TensorType::Q6_K, stored.scale, 0, stored.bytes.data(), codes.data(), out);
}

// x: [256]. `importance`: of its columns, or null.
template <typename Simd>
void quantize_q3_k(const float* x, const float* importance, std::byte* out) {
  constexpr int kOffset = gguf::kTraits<TensorType::Q3_K>.code_offset;
  Parts<Simd, kSmallPart> parts;
  load_parts<Simd, kSmallPart>(x, kLanes, parts.x);
  alignas(64) std::array<float, kLanes> scales;
  std::array<std::uint8_t, quant::kSuperBlock> codes;
  if (importance == nullptr) {
    Columns<Simd, kSmallPart> columns;
    Simd::store(search_by_codes<Simd, kSmallPart>(parts.x, kOffset, columns), scales.data());
    for (std::size_t e = 0; e < quant::kSuperBlock; ++e) {
      codes[e] = static_cast<std::uint8_t>(columns.data()[e % kSmallPart * kLanes + e / kSmallPart]);
    }
    return quant::finish_q3_k(x, scales.data(), nullptr, codes.data(), out);
  }
  load_parts<Simd, kSmallPart>(importance, kLanes, parts.weights);
  const float mean_square = 2 * quant::sum_of_squares(x, quant::kSuperBlock) / static_cast<float>(quant::kSuperBlock);
  weigh<Simd, kSmallPart>(parts, Simd::broadcast(mean_square));
  auto sums = Simd::broadcast(0);
  for (std::size_t i = 0; i < kSmallPart; ++i) sums = sums + parts.weights[i];
  const SymmetricFound<Simd> found = search_symmetric<Simd, kSmallPart>(parts, kOffset);
  alignas(64) std::array<float, kLanes> weight_sums;
  alignas(64) std::array<float, kLanes> inverses;
  Simd::store(sums, weight_sums.data());
  Simd::store(found.scale, scales.data());
  Simd::store(found.code_inverse, inverses.data());
  for (std::size_t j = 0; j < kLanes; ++j) {
    store_symmetric_codes<Simd>(x + j * kSmallPart, kSmallPart, inverses[j], kOffset, codes.data() + j * kSmallPart);
  }
  quant::finish_q3_k(x, scales.data(), weight_sums.data(), codes.data(), out);
}

// IQ4_NL and IQ4_XS. x: [blocks, 32 or 256].
template <typename Simd>
void quantize_uneven_blocks(TensorType type, const float* x, std::size_t blocks, const float* importance,
                            std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t block_parts = traits.block_elements / quant::kBlock;
  const std::size_t together = kLanes / block_parts;
  for (std::size_t b = 0; b < blocks; b += together) {
    const std::size_t count = std::min(together, blocks - b);
    const float* values = x + b * traits.block_elements;
    Parts<Simd, quant::kBlock> parts;
    load_parts<Simd, quant::kBlock>(values, count * block_parts, parts.x);
    if (importance != nullptr) {
      load_parts<Simd, quant::kBlock>(importance + b * traits.block_elements, count * block_parts, parts.weights);
      alignas(64) std::array<float, kLanes> mean_squares{};
      for (std::size_t part = 0; part < count * block_parts; ++part) {
        const float* block = values + part / block_parts * traits.block_elements;
        mean_squares[part] =
            2 * quant::sum_of_squares(block, traits.block_elements) / static_cast<float>(traits.block_elements);
      }
      weigh<Simd, quant::kBlock>(parts, Simd::load(mean_squares.data()));
    } else {
      for (std::size_t i = 0; i < quant::kBlock; ++i) parts.weights.set(i, parts.x[i] * parts.x[i]);
    }
    alignas(64) std::array<float, kLanes> scales;
    Simd::store(search_uneven<Simd, quant::kBlock>(parts), scales.data());
    for (std::size_t k = 0; k < count; ++k) {
      const float* block = values + k * traits.block_elements;
      std::byte* target = out + (b + k) * traits.block_bytes;
      if (block_parts == 1) {
        quant::finish_iq4_nl(block, scales[k], target);
      } else {
        quant::finish_iq4_xs(block, scales.data() + k * block_parts, target);
      }
    }
  }
}

// --- blocks of 32 with importance ----------------------------------------------------------------------------------

// One row of Q4_0, Q4_1, Q5_0 or Q5_1.
template <typename Simd>
void quantize_important_blocks(TensorType type, const float* x, std::size_t columns, const float* importance,
                               std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const int limit = traits.largest_code();
  const auto mean_square = Simd::broadcast(quant::sum_of_squares(x, columns) / static_cast<float>(columns));
  const std::size_t blocks = columns / quant::kBlock;
  for (std::size_t b = 0; b < blocks; b += kLanes) {
    const std::size_t count = std::min(kLanes, blocks - b);
    const float* values = x + b * quant::kBlock;
    Parts<Simd, quant::kBlock> parts;
    load_parts<Simd, quant::kBlock>(values, count, parts.x);
    load_parts<Simd, quant::kBlock>(importance + b * quant::kBlock, count, parts.weights);
    weigh<Simd, quant::kBlock>(parts, mean_square);
    std::array<std::uint8_t, quant::kBlock> codes;
    if (!traits.has_minimum) {
      const SymmetricFound<Simd> found = search_symmetric<Simd, quant::kBlock>(parts, traits.code_offset);
      alignas(64) std::array<float, kLanes> scales;
      alignas(64) std::array<float, kLanes> inverses;
      Simd::store(found.scale, scales.data());
      Simd::store(found.code_inverse, inverses.data());
      for (std::size_t k = 0; k < count; ++k) {
        store_symmetric_codes<Simd>(values + k * quant::kBlock, quant::kBlock, inverses[k], traits.code_offset,
                                    codes.data());
        quant::encode_block(type, half_from_float(scales[k]), 0, codes.data(), out + (b + k) * traits.block_bytes);
      }
    } else {
      const AffineLanes<Simd> lanes(search_affine<Simd, quant::kBlock>(parts, limit, quant::kImportanceGrid));
      for (std::size_t k = 0; k < count; ++k) {
        store_affine_codes<Simd>(values + k * quant::kBlock, quant::kBlock, lanes.code_minimum[k],
                                 lanes.code_inverse[k], limit, codes.data());
        quant::encode_block(type, half_from_float(lanes.scale[k]), half_from_float(-lanes.minimum[k]), codes.data(),
                            out + (b + k) * traits.block_bytes);
      }
    }
  }
}

// Whether scales are searched for; else the range of values is divided evenly.
inline bool is_searched(TensorType type, const float* importance) {
  if (type == TensorType::F16 || type == TensorType::Q8_0) return false;
  if (type == TensorType::IQ4_NL) return true;
  return importance != nullptr || gguf::type_traits(type).is_super_block();
}

// See quant::quantize_rows and is_searched().
template <typename Simd>
void quantize_searched_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns,
                            const float* importance, std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t row_blocks = columns / traits.block_elements;
  for (std::size_t r = 0; r < rows; ++r, x += columns, out += row_blocks * traits.block_bytes) {
    if (type == TensorType::Q6_K || type == TensorType::Q3_K) {
      const auto quantize = type == TensorType::Q6_K ? quantize_q6_k<Simd> : quantize_q3_k<Simd>;
      for (std::size_t b = 0; b < row_blocks; ++b) {
        const std::size_t at = b * quant::kSuperBlock;
        quantize(x + at, importance != nullptr ? importance + at : nullptr, out + b * traits.block_bytes);
      }
    } else if (type == TensorType::IQ4_NL || type == TensorType::IQ4_XS) {
      quantize_uneven_blocks<Simd>(type, x, row_blocks, importance, out);
    } else if (traits.is_super_block()) {
      quantize_affine_super_blocks<Simd>(type, x, row_blocks, importance, out);
    } else {
      quantize_important_blocks<Simd>(type, x, columns, importance, out);
    }
  }
}

}  // namespace
}  // namespace engine::kernels
