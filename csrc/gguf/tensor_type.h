#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace engine::gguf {

// The tensor types this engine computes with. Values are those of the file format.
enum class TensorType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
};

// Some bits of every code of a block. Bytes are filled a run at a time: the lowest bits of `run` consecutive bytes
// belong to as many consecutive elements, the next higher bits to the elements that follow.
struct CodeBits {
  std::size_t at = 0;  // where the first run begins in a block
  int bits = 0;        // in each code; 0: the type has no such field
  std::size_t run = 1;

  struct Place {
    std::size_t byte;  // from `at`
    int bit;
  };
  constexpr Place place(std::size_t element) const {
    const std::size_t sharing = run * (8 / static_cast<std::size_t>(bits));
    const std::size_t i = element % sharing;
    return {element / sharing * run + i % run, static_cast<int>(i / run) * bits};
  }
};

// Codebooks for codes of up to four bits: IQ4_NL and IQ4_XS, and MXFP4, whose E2M1 floats are stored doubled.
using Codebook = std::array<std::int8_t, 16>;
inline constexpr Codebook kUnevenValues{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr Codebook kFloatValues{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
// Those of grids: magnitudes, then the same with a sign; for IQ1_S and IQ1_M eight times -1, 0 and 1, off by one.
inline constexpr Codebook kGrid2Values{8, 25, 43, 0, -8, -25, -43, 0};
inline constexpr Codebook kGrid3Values{4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
inline constexpr Codebook kOddValues{1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
inline constexpr Codebook kGrid1Values{-7, 1, 9, 0, -9, -1, 7, 0};

enum class ScaleFormat {
  Half,      // f16
  Exponent,  // E8M0: one byte, see quant::bfloat_from_exponent()
  Quarters,  // f16, four bits at the top of each of four 16-bit words, see quant::half_from_quarters()
};

// The scales of a super-block's parts; quant::decode_inner_scales() reads them.
struct InnerScales {
  enum class Format {
    None,        // 1 each
    Nibbles,     // 16 bytes: scale in the low nibble, minimum in the high one
    SixBits,     // 8 scales and 8 minimums in 12 bytes
    SignedSix,   // 16 scales from -32 to 31 in 12 bytes
    SignedFew,   // 8 scales from -32 to 31 in 6 bytes
    SignedByte,  // 16 bytes
    OddTops,     // 2 n + 1, n in the highest four bits of eight 32-bit words, `stride` bytes apart
    OddNibbles,  // 2 n + 1, n of four bits
    OddTurned,   // 2 n + 1, n in three bits of eight 16-bit words; below 0 where the highest bit is set
    OddThrees,   // 2 n + 1, n of three bits, four in each of four 16-bit words
  };
  Format format = Format::None;
  std::size_t at = 0;
  std::size_t elements = 0;  // that share one
  int largest = 0;           // in magnitude
  std::size_t stride = 0;
};

// What a tensor type is: how its blocks lie in a file, and what their codes stand for. Quantized weights are
// scale * value + minimum in a block, scale * inner scale * value - minimum * inner minimum in a super-block.
struct TypeTraits {
  TensorType type;
  std::string_view name;
  std::size_t block_elements;  // 1: plain floats; 32: a block; 256: a super-block
  std::size_t block_bytes;
  std::size_t scale_at = 0;
  ScaleFormat scale_format = ScaleFormat::Half;
  float scale_unit = 1;      // a power of two that stored scales are multiplied by
  bool has_minimum = false;  // an f16 behind the scale
  // Whether codes lie in the file as `low` and `high` say; else these are of packed lines alone, and
  // quant::read_points() finds the codes.
  bool in_planes = true;
  CodeBits low{};
  CodeBits high{};      // the bits above those of `low`
  int code_offset = 0;  // what a packed code exceeds its value by, so that none is negative
  Codebook codebook{};  // zeros: a value is its code less the offset, or a signed byte
  InnerScales inner_scales{};

  [[gnu::always_inline]] constexpr bool is_float() const { return block_elements == 1; }
  [[gnu::always_inline]] constexpr bool is_super_block() const { return block_elements == 256; }
  // Whether its values may be any signed byte.
  [[gnu::always_inline]] constexpr bool has_signed_bytes() const { return code_offset == 128; }
  [[gnu::always_inline]] constexpr bool has_codebook() const { return codebook[1] != 0; }
  // The largest packed code.
  [[gnu::always_inline]] constexpr int largest_code() const {
    if (!has_codebook()) return (1 << (low.bits + high.bits)) - 1;
    int largest = 0;
    for (std::size_t code = 0; code < (std::size_t{1} << (low.bits + high.bits)); ++code) {
      largest = codebook[code] > largest ? codebook[code] : largest;
    }
    return largest + code_offset;
  }
};

// clang-format off
inline constexpr auto kTensorTypes = std::to_array<TypeTraits>({
    {.type = TensorType::F32, .name = "F32", .block_elements = 1, .block_bytes = 4},
    {.type = TensorType::F16, .name = "F16", .block_elements = 1, .block_bytes = 2},
    {.type = TensorType::BF16, .name = "BF16", .block_elements = 1, .block_bytes = 2},
    {.type = TensorType::Q4_0, .name = "Q4_0", .block_elements = 32, .block_bytes = 18,
     .low = {2, 4, 16}, .code_offset = 8},
    {.type = TensorType::Q4_1, .name = "Q4_1", .block_elements = 32, .block_bytes = 20,
     .has_minimum = true, .low = {4, 4, 16}},
    {.type = TensorType::Q5_0, .name = "Q5_0", .block_elements = 32, .block_bytes = 22,
     .low = {6, 4, 16}, .high = {2, 1, 1}, .code_offset = 16},
    {.type = TensorType::Q5_1, .name = "Q5_1", .block_elements = 32, .block_bytes = 24,
     .has_minimum = true, .low = {8, 4, 16}, .high = {4, 1, 1}},
    {.type = TensorType::Q8_0, .name = "Q8_0", .block_elements = 32, .block_bytes = 34,
     .low = {2, 8, 32}, .code_offset = 128},
    {.type = TensorType::IQ4_NL, .name = "IQ4_NL", .block_elements = 32, .block_bytes = 18,
     .low = {2, 4, 16}, .code_offset = 128, .codebook = kUnevenValues},
    {.type = TensorType::MXFP4, .name = "MXFP4", .block_elements = 32, .block_bytes = 17,
     .scale_format = ScaleFormat::Exponent, .low = {1, 4, 16}, .code_offset = 16, .codebook = kFloatValues},
    {.type = TensorType::Q2_K, .name = "Q2_K", .block_elements = 256, .block_bytes = 84,
     .scale_at = 80, .has_minimum = true, .low = {16, 2, 32},
     .inner_scales = {InnerScales::Format::Nibbles, 0, 16, 15}},
    {.type = TensorType::Q3_K, .name = "Q3_K", .block_elements = 256, .block_bytes = 110,
     .scale_at = 108, .low = {32, 2, 32}, .high = {0, 1, 32}, .code_offset = 4,
     .inner_scales = {InnerScales::Format::SignedSix, 96, 16, 32}},
    {.type = TensorType::Q4_K, .name = "Q4_K", .block_elements = 256, .block_bytes = 144,
     .has_minimum = true, .low = {16, 4, 32},
     .inner_scales = {InnerScales::Format::SixBits, 4, 32, 63}},
    {.type = TensorType::Q5_K, .name = "Q5_K", .block_elements = 256, .block_bytes = 176,
     .has_minimum = true, .low = {48, 4, 32}, .high = {16, 1, 32},
     .inner_scales = {InnerScales::Format::SixBits, 4, 32, 63}},
    {.type = TensorType::Q6_K, .name = "Q6_K", .block_elements = 256, .block_bytes = 210,
     .scale_at = 208, .low = {0, 4, 64}, .high = {128, 2, 32}, .code_offset = 32,
     .inner_scales = {InnerScales::Format::SignedByte, 192, 16, 128}},
    {.type = TensorType::IQ4_XS, .name = "IQ4_XS", .block_elements = 256, .block_bytes = 136,
     .low = {8, 4, 16}, .code_offset = 128, .codebook = kUnevenValues,
     .inner_scales = {InnerScales::Format::SignedFew, 2, 32, 32}},
    {.type = TensorType::IQ2_XXS, .name = "IQ2_XXS", .block_elements = 256, .block_bytes = 66,
     .scale_unit = 0.125F, .in_planes = false, .low = {0, 2, 32}, .high = {0, 1, 32}, .code_offset = 64,
     .codebook = kGrid2Values, .inner_scales = {InnerScales::Format::OddTops, 6, 32, 31, 8}},
    {.type = TensorType::IQ2_XS, .name = "IQ2_XS", .block_elements = 256, .block_bytes = 74,
     .scale_unit = 0.125F, .in_planes = false, .low = {0, 2, 32}, .high = {0, 1, 32}, .code_offset = 64,
     .codebook = kGrid2Values, .inner_scales = {InnerScales::Format::OddNibbles, 66, 16, 31}},
    {.type = TensorType::IQ2_S, .name = "IQ2_S", .block_elements = 256, .block_bytes = 82,
     .scale_unit = 0.125F, .in_planes = false, .low = {0, 2, 32}, .high = {0, 1, 32}, .code_offset = 64,
     .codebook = kGrid2Values, .inner_scales = {InnerScales::Format::OddNibbles, 74, 16, 31}},
    {.type = TensorType::IQ3_XXS, .name = "IQ3_XXS", .block_elements = 256, .block_bytes = 98,
     .scale_unit = 0.25F, .in_planes = false, .low = {0, 4, 32}, .code_offset = 64,
     .codebook = kGrid3Values, .inner_scales = {InnerScales::Format::OddTops, 66, 32, 31, 4}},
    {.type = TensorType::IQ3_S, .name = "IQ3_S", .block_elements = 256, .block_bytes = 110,
     .in_planes = false, .low = {0, 4, 32}, .code_offset = 16,
     .codebook = kOddValues, .inner_scales = {InnerScales::Format::OddNibbles, 106, 32, 31}},
    {.type = TensorType::IQ1_S, .name = "IQ1_S", .block_elements = 256, .block_bytes = 50,
     .scale_unit = 0.125F, .in_planes = false, .low = {0, 2, 32}, .code_offset = 8,
     .codebook = kGrid1Values, .inner_scales = {InnerScales::Format::OddTurned, 34, 32, 15}},
    {.type = TensorType::IQ1_M, .name = "IQ1_M", .block_elements = 256, .block_bytes = 56,
     .scale_at = 48, .scale_format = ScaleFormat::Quarters, .scale_unit = 0.125F, .in_planes = false,
     .low = {0, 2, 32}, .high = {0, 1, 32}, .code_offset = 16,
     .codebook = kGrid1Values, .inner_scales = {InnerScales::Format::OddThrees, 48, 16, 15}},
    {.type = TensorType::TQ1_0, .name = "TQ1_0", .block_elements = 256, .block_bytes = 54,
     .scale_at = 52, .in_planes = false, .low = {0, 2, 32}, .code_offset = 1,
     .inner_scales = {InnerScales::Format::None, 0, 32, 1}},
    {.type = TensorType::TQ2_0, .name = "TQ2_0", .block_elements = 256, .block_bytes = 66,
     .scale_at = 64, .low = {0, 2, 32}, .code_offset = 1,
     .inner_scales = {InnerScales::Format::None, 0, 32, 1}},
});
// clang-format on

// nullptr for a type this engine does not know. Always inline, as all that kernels use of this header: no copy that was
// compiled for an instruction set is left for the linker to pick.
[[gnu::always_inline]] constexpr const TypeTraits* find_type_traits(std::uint32_t type_id) {
  for (const TypeTraits& traits : kTensorTypes) {
    if (static_cast<std::uint32_t>(traits.type) == type_id) return &traits;
  }
  return nullptr;
}
[[gnu::always_inline]] constexpr const TypeTraits& type_traits(TensorType type) {
  return *find_type_traits(static_cast<std::uint32_t>(type));
}
template <TensorType kType>
inline constexpr TypeTraits kTraits = type_traits(kType);

// Calls action.template operator()<type>() for the type.
template <std::size_t kIndex = 0, typename Action>
decltype(auto) with_type(TensorType type, Action&& action) {
  if constexpr (kIndex + 1 < kTensorTypes.size()) {
    if (type != kTensorTypes[kIndex].type) return with_type<kIndex + 1>(type, action);
  }
  return action.template operator()<kTensorTypes[kIndex].type>();
}

}  // namespace engine::gguf
