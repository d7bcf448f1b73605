#pragma once

#include <stdexcept>

namespace engine::model {

// A model computed what is no number, or infinite. The message says which model, and where in the text.
class NonFiniteResult : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace engine::model
