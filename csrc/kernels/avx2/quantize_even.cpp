#include <immintrin.h>

#include <bit>
#include <cstring>
#include <limits>

#include "base/float16.h"
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/lanes.h"
#include "quant/block.h"
#include "quant/row_quantizer.h"

// Blocks of 32 whose range of values is divided evenly, and the conversions between floats and what files hold. See
// quant/row_quantizer.cpp.
namespace engine::kernels::avx2 {
namespace {

using gguf::TensorType;
using gguf::TypeTraits;
using quant::kBlock;

struct Values {
  explicit Values(const float* p)
      : x{_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), _mm256_loadu_ps(p + 16), _mm256_loadu_ps(p + 24)} {}
  __m256 x[4];
};

__m256 absolute(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x); }

float largest_magnitude(const Values& v) {
  const __m256 low = _mm256_max_ps(absolute(v.x[0]), absolute(v.x[1]));
  const __m256 high = _mm256_max_ps(absolute(v.x[2]), absolute(v.x[3]));
  return largest_lane(_mm256_max_ps(low, high));
}

float largest(const Values& v) {
  return largest_lane(_mm256_max_ps(_mm256_max_ps(v.x[0], v.x[1]), _mm256_max_ps(v.x[2], v.x[3])));
}

// The first of the block's values that `same` finds equal to `value`.
template <typename Same>
float first_of(const Values& v, const float* x, float value, const Same& same) {
  const __m256 all = _mm256_set1_ps(value);
  std::uint32_t found = 0;
  for (int part = 0; part < 4; ++part) {
    const auto mask = static_cast<std::uint32_t>(_mm256_movemask_ps(same(v.x[part], all)));
    found |= mask << (8 * part);
  }
  return x[std::countr_zero(found)];
}

// The value of the largest magnitude; of equal ones the first. 0 where there is none.
float extreme_of(const Values& v, const float* x) {
  const float magnitude = largest_magnitude(v);
  if (magnitude == 0) return 0;
  return first_of(v, x, magnitude, [](__m256 a, __m256 b) { return _mm256_cmp_ps(absolute(a), b, _CMP_EQ_OQ); });
}

// The least value; of zeros of either sign the first.
float least_of(const Values& v, const float* x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  const __m256 low = _mm256_min_ps(_mm256_min_ps(v.x[0], v.x[1]), _mm256_min_ps(v.x[2], v.x[3]));
  const float least = -largest_lane(_mm256_xor_ps(low, sign));
  return first_of(v, x, least, [](__m256 a, __m256 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); });
}

// The low byte of each truncated value, at most `greatest`; 0 where the value exceeds a 32-bit integer.
__m256i low_bytes(const Values& v, int greatest) {
  const __m256i mask = _mm256_set1_epi32(0xFF);
  __m256i integers[4];
  for (int part = 0; part < 4; ++part) integers[part] = _mm256_and_si256(_mm256_cvttps_epi32(v.x[part]), mask);
  const __m256i low = _mm256_packus_epi32(integers[0], integers[1]);
  const __m256i high = _mm256_packus_epi32(integers[2], integers[3]);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
  return _mm256_min_epu8(bytes, _mm256_set1_epi8(static_cast<char>(greatest)));
}

std::byte* put_half(float value, std::byte* out) {
  const std::uint16_t half = engine::half_from_float(value);
  std::memcpy(out, &half, sizeof(half));
  return out + sizeof(half);
}

void put_codes(const TypeTraits& traits, __m256i codes, std::byte* out) {
  if (traits.high.bits != 0) {
    const int fifth_bits = _mm256_movemask_epi8(_mm256_slli_epi16(codes, 3));
    std::memcpy(out, &fifth_bits, sizeof(fifth_bits));
    out += sizeof(fifth_bits);
  }
  const __m128i nibble = _mm_set1_epi8(0x0F);
  const __m128i low = _mm_and_si128(_mm256_castsi256_si128(codes), nibble);
  const __m128i high = _mm_and_si128(_mm256_extracti128_si256(codes, 1), nibble);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_or_si128(low, _mm_slli_epi16(high, 4)));
}

void quantize_q8_0(const float* x, std::byte* out) {
  Values v(x);
  const float scale = largest_magnitude(v) / 127;
  out = put_half(scale, out);
  const __m256 inverse = _mm256_set1_ps(quant::inverse_or_zero(scale));
  const __m256 sign = _mm256_set1_ps(-0.0F);
  const __m256 almost_half = _mm256_set1_ps(0.49999997F);
  for (__m256& part : v.x) {
    const __m256 scaled = _mm256_mul_ps(part, inverse);
    part = _mm256_add_ps(scaled, _mm256_or_ps(almost_half, _mm256_and_ps(scaled, sign)));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), low_bytes(v, 0xFF));
}

void quantize_symmetric(const TypeTraits& traits, const float* x, std::byte* out) {
  Values v(x);
  const int limit = traits.code_offset;
  const auto half_range = static_cast<float>(limit);
  const float scale = extreme_of(v, x) / -half_range;
  out = put_half(scale, out);
  const __m256 inverse = _mm256_set1_ps(quant::inverse_or_zero(scale));
  const __m256 offset = _mm256_set1_ps(half_range + 0.5F);
  for (__m256& part : v.x) part = _mm256_add_ps(_mm256_mul_ps(part, inverse), offset);
  put_codes(traits, low_bytes(v, 2 * limit - 1), out);
}

void quantize_affine(const TypeTraits& traits, const float* x, std::byte* out) {
  Values v(x);
  const int limit = traits.largest_code();
  const float minimum = least_of(v, x);
  const float maximum = largest(v);
  // Among zeros of both signs the largest may be the negative one, but equal numbers differ by a positive zero.
  const float range = maximum > minimum ? maximum - minimum : 0;
  const float scale = range / static_cast<float>(limit);
  out = put_half(minimum, put_half(scale, out));
  const __m256 inverse = _mm256_set1_ps(quant::inverse_or_zero(scale));
  const __m256 least = _mm256_set1_ps(minimum);
  const __m256 half = _mm256_set1_ps(0.5F);
  for (__m256& part : v.x) part = _mm256_add_ps(_mm256_mul_ps(_mm256_sub_ps(part, least), inverse), half);
  put_codes(traits, low_bytes(v, limit), out);
}

void quantize_block(const TypeTraits& traits, const float* x, std::byte* out) {
  if (traits.has_signed_bytes()) return quantize_q8_0(x, out);
  if (traits.has_minimum) return quantize_affine(traits, x, out);
  quantize_symmetric(traits, x, out);
}

void widen_halves(const std::byte* source, std::size_t count, float* out) {
  const auto* halves = reinterpret_cast<const std::uint16_t*>(source);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(out + i, load_halves(halves + i));
  quant::dequantize_row(TensorType::F16, source + 2 * i, count - i, out + i);
}

void widen_bfloats(const std::byte* source, std::size_t count, float* out) {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i bfloats = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + 2 * i));
    const __m256i floats = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bfloats), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), floats);
  }
  quant::dequantize_row(TensorType::BF16, source + 2 * i, count - i, out + i);
}

void narrow(const float* x, std::size_t count, std::byte* out) {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), halves);
  }
  quant::quantize_rows(TensorType::F16, x + i, 1, count - i, nullptr, out + 2 * i);
}

}  // namespace

void quantize_even_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns, std::byte* out) {
  if (type == TensorType::F16) return narrow(x, rows * columns, out);
  const TypeTraits& traits = gguf::type_traits(type);
  for (std::size_t b = 0; b < rows * columns / kBlock; ++b) {
    quantize_block(traits, x + b * kBlock, out + b * traits.block_bytes);
  }
}

void dequantize(TensorType type, const std::byte* source, std::size_t count, float* out) {
  switch (type) {
    case TensorType::F32:
      std::memcpy(out, source, count * sizeof(float));
      return;
    case TensorType::F16:
      return widen_halves(source, count, out);
    case TensorType::BF16:
      return widen_bfloats(source, count, out);
    default:
      return quant::dequantize_row(type, source, count, out);
  }
}

}  // namespace engine::kernels::avx2
