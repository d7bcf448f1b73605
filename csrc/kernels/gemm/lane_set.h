#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"

// What matrix products ask of an instruction set. In an anonymous namespace, as all that is compiled for one.
namespace engine::kernels {
namespace {

using gguf::TensorType;

// A register of 32-bit lanes, a lane an output row. Codes of 4 inputs meet the same 4 input codes in every lane, so
// that no sum ever crosses lanes.
template <typename Simd>
concept LaneSet = requires(typename Simd::Integer x, typename Simd::Float y, std::size_t rows, char byte,
                           const std::byte* bytes, std::byte* target, const std::int32_t* integer, const float* number,
                           float* out, const std::uint8_t* table) {
  // How many lanes; how many tokens and strips of lanes have sums that fit the registers together; how many tokens have
  // with one strip, whose codes are read from packed lines for all of them.
  { Simd::kLanes } -> std::convertible_to<std::size_t>;
  { Simd::kTile } -> std::convertible_to<std::size_t>;
  { Simd::kTileStrips } -> std::convertible_to<std::size_t>;
  { Simd::kPackedTile } -> std::convertible_to<std::size_t>;
  // Whether codes of any signed byte are multiplied as such; else they are unsigned, 128 more.
  { Simd::kSigned } -> std::convertible_to<bool>;
  { Simd::signed_if_wanted(x) } -> std::same_as<typename Simd::Integer>;  // the first from the second, where kSigned

  { Simd::zero() } -> std::same_as<typename Simd::Integer>;
  { Simd::load(bytes) } -> std::same_as<typename Simd::Integer>;
  { Simd::store(target, x) } -> std::same_as<void>;
  // Bytes and 16-bit parts.
  { Simd::fill(byte) } -> std::same_as<typename Simd::Integer>;
  { Simd::both(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::either(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::shift_left(x, 1) } -> std::same_as<typename Simd::Integer>;
  { Simd::shift_right(x, 1) } -> std::same_as<typename Simd::Integer>;
  { Simd::look_up(table, x) } -> std::same_as<typename Simd::Integer>;  // a table of 16 by the bytes of x, below 16
  // 32-bit lanes.
  { Simd::add(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::subtract(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::broadcast(integer) } -> std::same_as<typename Simd::Integer>;
  { Simd::shift_lanes(x, integer) } -> std::same_as<typename Simd::Integer>;
  { Simd::template multiply_lanes<2>(x) } -> std::same_as<typename Simd::Integer>;
  // Lanes from bytes; two numbers in the 16-bit parts of each lane; 4 bytes, or two such parts, to every lane; the sum
  // and the two products of 16-bit parts.
  { Simd::widen(bytes) } -> std::same_as<typename Simd::Integer>;
  { Simd::widen_signed(bytes) } -> std::same_as<typename Simd::Integer>;
  { Simd::pair(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::broadcast4(bytes) } -> std::same_as<typename Simd::Integer>;
  { Simd::add_pairs(x, x, x) } -> std::same_as<typename Simd::Integer>;

  { Simd::zero_float() } -> std::same_as<typename Simd::Float>;
  { Simd::load_floats(bytes) } -> std::same_as<typename Simd::Float>;
  { Simd::load_halves(bytes) } -> std::same_as<typename Simd::Float>;
  { Simd::load_bfloats(bytes) } -> std::same_as<typename Simd::Float>;
  { Simd::store_floats(target, y) } -> std::same_as<void>;
  { Simd::store_rows(out, y, rows) } -> std::same_as<void>;  // the first lanes
  { Simd::broadcast(number) } -> std::same_as<typename Simd::Float>;
  { Simd::multiply(y, y) } -> std::same_as<typename Simd::Float>;
  { Simd::fused(y, y, y) } -> std::same_as<typename Simd::Float>;
  { Simd::add(y, y) } -> std::same_as<typename Simd::Float>;
  { Simd::subtract(y, y) } -> std::same_as<typename Simd::Float>;
  { Simd::to_float(x) } -> std::same_as<typename Simd::Float>;
};

// Its own way of dot products, exact in 32 bits.
template <typename Simd, TensorType kType>
concept ProductLanes = LaneSet<Simd> && requires(typename Simd::Integer x) {
  // From how many tokens on a group's codes are unpacked once, into memory, for all of them.
  { Simd::template kUnpackFrom<kType> } -> std::convertible_to<std::size_t>;
  // How many groups of 4 inputs may be added up before close(): 1, 2, 4 or 8.
  { Simd::template kChain<kType> } -> std::convertible_to<std::size_t>;
  // The sum and 4 products a lane, in a form that only close() knows.
  { Simd::template add_products<kType>(x, x, x) } -> std::same_as<typename Simd::Integer>;
  // 32-bit sums; the same times a factor, made of small numbers in 32-bit lanes.
  { Simd::template close<kType>(x) } -> std::same_as<typename Simd::Integer>;
  { Simd::close(x, x) } -> std::same_as<typename Simd::Integer>;
  { Simd::factor(x) } -> std::same_as<typename Simd::Integer>;
};

}  // namespace
}  // namespace engine::kernels
