// A whole model: loaded, and run for three tokens by the reference kernels.

#include "model/model.h"

#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "gguf/error.h"
#include "gguf/file.h"
#include "model/forward/non_finite.h"
#include "model/jobs/evaluation.h"
#include "model/load/load_control.h"
#include "scratch_file.h"

namespace {

constexpr std::size_t kMostLayers = 8;
constexpr std::size_t kMostBytes = 1U << 20U;

void run(const std::string& path) {
  engine::model::LoadControl control;
  const auto file = std::make_shared<const engine::gguf::File>(path);
  const engine::model::Model model(file, "reference", 1, control);
  if (model.weights_bytes() > kMostBytes || model.shape().layers > kMostLayers) return;
  const engine::model::EvaluationOptions options{
      .threads = 1, .prefill_chunk = 2, .last_only = false, .kv_type = engine::kernels::KvType::F16};
  static_cast<void>(engine::model::evaluate(model, {{0, 1, 2}}, options));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::ScratchFile scratch("model.gguf");
  scratch.write({data, size});
  try {
    run(scratch.path());
  } catch (const engine::gguf::MalformedFile&) {
    return 0;
  } catch (const engine::UnsupportedModel&) {
    return 0;
  } catch (const engine::model::NonFiniteResult&) {
    return 0;
  } catch (const std::invalid_argument&) {  // a vocabulary of fewer than three tokens
    return 0;
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return 0;
}
