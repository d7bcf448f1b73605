#pragma once

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/aligned_buffer.h"
#include "gguf/error.h"
#include "kernels/gemm/matrix.h"
#include "model/load/hyper_parameters.h"
#include "model/load/load_control.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// Consecutive rows of a tensor of the file.
struct TensorRows {
  const gguf::TensorInfo* tensor = nullptr;
  std::size_t first = 0;
};

struct Projection {
  kernels::Matrix weight;
  TensorRows source;        // what the weight was read from
  std::vector<float> bias;  // [rows], or empty
};

struct Norm {
  std::vector<float> weight;
  std::vector<float> bias;  // or empty
};

// A feed-forward, or one expert of it.
struct FeedForward {
  Projection gate;  // [feed_forward, embedding]; without rows where there is none
  Projection up;    // [feed_forward, embedding]
  Projection down;  // [embedding, feed_forward]
};

// A convolution over the last few positions of each channel, gated on both sides.
struct ConvolutionWeights {
  Projection input_gate;    // [embedding, embedding]
  Projection output_gate;   // [embedding, embedding]
  Projection input;         // [embedding, embedding]
  std::vector<float> taps;  // [taps, embedding], the oldest position's first
};

// Norms and projections that a layer does not have are empty.
struct Layer {
  Norm attention_norm;                  // [embedding]
  Projection query_down;                // [query_rank, embedding], for latent heads: what queries are projected from
  Projection query;                     // [query_width, embedding]
  Projection key;                       // [kv_width, embedding]
  Projection value;                     // [kv_width, embedding]
  Norm query_norm;                      // [head_dim or query_width]
  Norm key_norm;                        // [head_dim or kv_width]
  std::vector<float> sinks;             // [heads] a score of each that takes weight from the keys', or empty
  std::vector<Projection> head_keys;    // [heads] of [rank, unrotated], for latent heads
  std::vector<Projection> head_values;  // [heads] of [value_width, rank], likewise
  ConvolutionWeights convolution;       // in place of attention's queries, keys and values
  Projection attention_output;          // [embedding, attention_width or RecurrentShape::width]
  Norm attention_output_norm;           // [embedding]
  Norm attention_residual_norm;         // [embedding]
  Norm feed_forward_norm;               // [embedding]
  FeedForward dense;                    // beside experts: the one that all rows use; without rows if none
  Norm feed_forward_output_norm;        // [embedding]
  Norm feed_forward_residual_norm;      // [embedding]
  Projection router;                    // [experts, embedding]
  std::vector<float> choice_bias;       // [experts], see ExpertShape::biased, or empty
  Projection dense_share;               // [1, embedding]: how much of the dense one, see ExpertShape::shares
  std::vector<FeedForward> experts;
};

// The rows of a step that a matrix is multiplied with: all, or those that chose its expert.
enum class MatrixUse { EveryRow, ChosenExpert };

// Calls visit(projection, use) with every matrix of a layer, in the order in which they are used. Those that the layer
// does not have are without rows.
template <typename AnyLayer, typename Visit>
  requires std::same_as<std::remove_const_t<AnyLayer>, Layer>
void for_each_matrix(AnyLayer& layer, const Visit& visit) {
  const auto each = [&](MatrixUse use, auto&... projections) { (visit(projections, use), ...); };
  each(MatrixUse::EveryRow, layer.query_down, layer.query, layer.key, layer.value);
  for (auto& head : layer.head_keys) each(MatrixUse::EveryRow, head);
  for (auto& head : layer.head_values) each(MatrixUse::EveryRow, head);
  each(MatrixUse::EveryRow, layer.convolution.input_gate, layer.convolution.output_gate, layer.convolution.input);
  each(MatrixUse::EveryRow, layer.attention_output, layer.router, layer.dense_share);
  each(MatrixUse::EveryRow, layer.dense.gate, layer.dense.up, layer.dense.down);
  for (auto& expert : layer.experts) each(MatrixUse::ChosenExpert, expert.gate, expert.up, expert.down);
}

// What judges the vector of a pair of texts: activation(dense) where there is one, then a number.
struct Classifier {
  Projection dense;   // [embedding, embedding], or without rows
  Projection output;  // [1, embedding], or without rows
};

struct Weights {
  AlignedBuffer memory;        // holds every matrix in order of use: packed, or as in the file
  Projection token_embedding;  // [vocabulary, embedding], read row by row; packed only where it is the head too
  Projection positions;        // [context_length, embedding], read row by row; without rows where there is none
  Projection token_types;      // [kinds of texts, embedding], likewise
  Norm embedding_norm;         // [embedding]
  std::vector<Layer> layers;
  Norm output_norm;                // [embedding]
  Projection head;                 // [vocabulary, embedding]: output.weight, or the token embedding again
  std::vector<Projection> pooled;  // of the vector of a text, one after the other: most models have none
  Classifier classifier;
  // Divisors of the angles of the first rope, [rope_dimensions / 2] or empty.
  std::vector<float> rope_factors;
  std::vector<float> long_rope_factors;  // see HyperParameters::needs_long_factors
};

// A weight of the file is NaN or infinite, or would be as a float. In a quantized type it is a scale that is.
class NonFiniteWeights : public gguf::MalformedFile {
 public:
  NonFiniteWeights(std::string_view tensor, std::size_t row);

  const std::string& tensor() const { return tensor_; }
  std::size_t row() const { return row_; }  // the tensor's first with such a weight

 private:
  std::string tensor_;
  std::size_t row_;
};

// Finds, checks, reads and packs every tensor; what is computed later reads nothing from the file. `file` must outlive
// the result. Throws std::system_error, gguf::MalformedFile (missing tensor, wrong shape), gguf::ChangedFile,
// NonFiniteWeights, UnsupportedModel (a tensor this architecture does not have, a shape no kernel serves),
// std::bad_alloc, Cancelled.
Weights load_weights(const gguf::File& file, const HyperParameters& shape, const kernels::KernelTable& table,
                     unsigned threads, LoadControl& control);

// Types of tensors by name.
using TensorTypes = std::map<std::string, gguf::TensorType, std::less<>>;

// Bytes of the file's matrices, ready for a kernel table: packed, or where the table computes from the file's own
// bytes, a copy of those.
struct WeightsSize {
  std::size_t memory = 0;  // a token embedding that is no head is kept as in the file, to be read row by row
  std::size_t token = 0;   // read for a token that is computed alone: one row of the embedding, the experts it uses
};

// `other` are types that tensors will have instead of their own. Throws what read_hyper_parameters throws.
WeightsSize weights_size(const gguf::File& file, const kernels::KernelTable& table, const TensorTypes& other = {});

// Multiply-accumulates of a token by the matrices of all layers, of experts those that it uses. Throws the same.
std::size_t layer_macs(const gguf::File& file);

}  // namespace engine::model
