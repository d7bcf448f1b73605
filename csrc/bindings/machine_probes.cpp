#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/memory_units.h"
#include "base/thread_team.h"
#include "bindings/arguments.h"
#include "bindings/register.h"

// What this machine can do at most: the limits that benchmarks hold the kernels against.
namespace engine::bindings {
namespace {

namespace py = pybind11;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kSpin{200};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Bytes a second, a sample for each pass of all threads over the buffer.
std::vector<double> read_bandwidth(std::size_t bytes, unsigned threads, double seconds) {
  const py::gil_scoped_release release;
  const std::size_t units = bytes / kReadUnit;
  require(units >= threads && seconds > 0, "bytes or seconds is too small");
  AlignedBuffer buffer(units * kReadUnit);
  ThreadTeam team(threads, kSpin);
  team.run([&](unsigned member) { write_units(buffer, member_range(units, member, threads)); });
  std::vector<double> samples;
  const Clock::time_point began = Clock::now();
  while (samples.empty() || seconds_since(began) < seconds) {
    const Clock::time_point start = Clock::now();
    team.run([&](unsigned member) { read_units(buffer, member_range(units, member, threads)); });
    samples.push_back(static_cast<double>(units * kReadUnit) / seconds_since(start));
  }
  return samples;
}

const kernels::IntegerPeak& runnable_peak(const std::string& instruction) {
  for (const kernels::KernelTable* table : kernels::kernel_tables()) {
    if (table->peak.run == nullptr || table->peak.instruction != instruction) continue;
    if (table->unavailable().empty()) return table->peak;
  }
  throw std::invalid_argument("instruction is unknown or cannot run here");
}

std::vector<double> integer_peak(const std::string& instruction, unsigned threads, double seconds) {
  const py::gil_scoped_release release;
  const kernels::IntegerPeak& peak = runnable_peak(instruction);
  constexpr double kSampleSeconds = 0.02;
  ThreadTeam team(threads, kSpin);
  std::vector<double> samples;
  const Clock::time_point began = Clock::now();
  while (samples.empty() || seconds_since(began) < seconds) {
    std::atomic<std::uint64_t> macs{0};
    const Clock::time_point start = Clock::now();
    team.run([&](unsigned) {
      do macs += peak.run();
      while (seconds_since(start) < kSampleSeconds);
    });
    samples.push_back(static_cast<double>(macs.load()) / seconds_since(start));
  }
  return samples;
}

// Keeps threads busy, so that others can measure what that costs: with an instruction from registers alone, or with
// reading memory.
class Load {
 public:
  Load(unsigned threads, const std::optional<std::string>& instruction)
      : peak_(instruction ? &runnable_peak(*instruction) : nullptr),
        buffer_(peak_ == nullptr ? kBufferBytes : 0),
        team_(threads, kSpin) {
    if (peak_ == nullptr) {
      team_.run([&](unsigned member) { write_units(buffer_, units_of(member)); });
    }
  }

  void run(double seconds) {
    const Clock::time_point start = Clock::now();
    team_.run([&](unsigned member) {
      while (!cancelled_.load(std::memory_order_relaxed) && seconds_since(start) < seconds) {
        if (peak_ != nullptr) {
          peak_->run();
        } else {
          read_units(buffer_, units_of(member));
        }
      }
    });
  }

  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{256} << 20;  // beyond most caches

  Range units_of(unsigned member) const { return member_range(kBufferBytes / kReadUnit, member, team_.size()); }

  const kernels::IntegerPeak* peak_;  // none: reads the buffer
  AlignedBuffer buffer_;
  ThreadTeam team_;
  std::atomic<bool> cancelled_{false};
};

py::dict integer_instructions() {
  py::dict instructions;
  for (const kernels::KernelTable* table : kernels::kernel_tables()) {
    if (table->peak.run == nullptr) continue;
    instructions[py::str(std::string(table->name))] = std::string(table->peak.instruction);
  }
  return instructions;
}

}  // namespace

void register_machine_probes(py::module_& m) {
  py::module_ probes = m.def_submodule("machine_probes");
  probes.def("read_bandwidth", &read_bandwidth, py::arg("bytes"), py::arg("threads"), py::arg("seconds"));
  probes.def("integer_instructions", &integer_instructions);
  probes.def("integer_peak", &integer_peak, py::arg("instruction"), py::arg("threads"), py::arg("seconds"));
  using WithoutGil = py::call_guard<py::gil_scoped_release>;
  py::class_<Load>(probes, "Load")
      .def(py::init<unsigned, const std::optional<std::string>&>(), py::arg("threads"), py::arg("instruction"),
           WithoutGil())
      .def("run", &Load::run, py::arg("seconds"), WithoutGil())
      .def("cancel", &Load::cancel);
}

}  // namespace engine::bindings
