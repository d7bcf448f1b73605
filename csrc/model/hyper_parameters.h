#pragma once

#include <cstddef>
#include <string>

#include "gguf/file.h"

namespace engine::model {

// The shape of a decoder, from the file's metadata.
struct HyperParameters {
  std::string architecture;
  std::size_t layers = 0;
  std::size_t embedding = 0;  // width of the residual stream
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t feed_forward = 0;
  std::size_t vocabulary = 0;
  std::size_t context_length = 0;  // trained
  std::size_t rope_dimensions = 0;
  double rope_base = 10000.0;
  float norm_epsilon = 0.0F;
  float attention_scale = 0.0F;

  std::size_t query_width() const { return heads * head_dim; }
  std::size_t kv_width() const { return kv_heads * head_dim; }
};

// Throws gguf::MalformedFile (a key is missing or impossible), UnsupportedModel (a setting this engine lacks).
HyperParameters read_hyper_parameters(const gguf::File& file);

}  // namespace engine::model
