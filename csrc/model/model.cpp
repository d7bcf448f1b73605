#include "model/model.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/kernel_table.h"

namespace engine::model {
namespace {

const kernels::KernelTable& usable_table(const std::string& name) {
  const kernels::KernelTable* table = kernels::find_kernel_table(name);
  if (table == nullptr) throw std::invalid_argument("no kernel table is named '" + name + "'");
  const std::string reason = table->unavailable();
  if (!reason.empty()) throw std::invalid_argument("kernel table '" + name + "': " + reason);
  return *table;
}

}  // namespace

Model::Model(std::shared_ptr<const gguf::File> file, const std::string& kernel_table, unsigned threads,
             LoadControl& control)
    : kernels_(usable_table(kernel_table)),
      file_(std::move(file)),
      shape_(read_hyper_parameters(*file_)),
      weights_(load_weights(*file_, shape_, kernels_, threads, control)) {}

void Model::require_tokens(std::span<const std::int32_t> tokens) const {
  const auto unknown = std::ranges::find_if_not(tokens, [&](std::int32_t token) { return has_token(token); });
  if (unknown == tokens.end()) return;
  throw std::invalid_argument("token " + std::to_string(*unknown) + " is not in the model's vocabulary");
}

void Model::require_decoder() const {
  if (!shape_.causal) throw std::invalid_argument("the model reads texts whole: it can go on with none");
}

}  // namespace engine::model
