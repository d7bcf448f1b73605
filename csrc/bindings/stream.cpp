#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/register.h"
#include "runtime/loop/run_loop.h"
#include "runtime/stream/client_socket.h"
#include "runtime/stream/stream_writer.h"
#include "runtime/stream/text_event.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using runtime::ClientSocket;
using runtime::RunLoop;
using runtime::StreamWriter;
using runtime::TextEvent;

}  // namespace

void register_stream(py::module_& m) {
  // Its lock is held for no longer than one write that does not wait: the GIL is kept.
  py::class_<ClientSocket, std::shared_ptr<ClientSocket>>(m, "ClientSocket")
      .def(py::init([](int descriptor, bool chunks) {
             using Form = ClientSocket::Form;
             return std::make_shared<ClientSocket>(descriptor, chunks ? Form::Chunks : Form::Messages);
           }),
           py::arg("descriptor"), py::kw_only(), py::arg("chunks") = false)
      .def_property_readonly("writes", &ClientSocket::writes)
      .def(
          "send",
          [](ClientSocket& socket, const py::bytes& data) { return py::bytes(socket.send(std::string_view(data))); },
          py::arg("data"))
      .def("hold", &ClientSocket::hold)
      .def("release", &ClientSocket::release)
      .def("mark_posted", &ClientSocket::mark_posted, py::arg("execution_id"))
      .def(
          "tell_texts",
          [](ClientSocket& socket, const std::string& execution_id,
             const std::vector<std::pair<std::string, std::string>>& texts) {
            std::vector<TextEvent> events;
            events.reserve(texts.size());
            for (const auto& [before, behind] : texts) events.push_back({before, behind});
            socket.tell_texts(execution_id, std::move(events));
          },
          py::arg("execution_id"), py::arg("texts"))
      .def("give_up", &ClientSocket::give_up)
      .def("close", &ClientSocket::close);

  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<StreamWriter>(m, "StreamWriter")
      .def(py::init([](RunLoop& loop) { return std::make_unique<StreamWriter>(loop.events()); }), py::arg("run_loop"),
           py::keep_alive<1, 2>())
      .def_property_readonly("event_fd", [](StreamWriter& writer) { return writer.events().descriptor(); })
      .def(
          "open",
          [](StreamWriter& writer, std::uint64_t sequence_id, std::shared_ptr<ClientSocket> socket,
             std::uint64_t request_id, std::string execution_id, std::uint32_t choices) {
            writer.open(sequence_id, {std::move(socket), request_id, std::move(execution_id), choices});
          },
          py::arg("sequence_id"), py::arg("socket").none(false), py::kw_only(), py::arg("request_id"),
          py::arg("execution_id"), py::arg("choices"), Release())
      .def("forget", &StreamWriter::forget, py::arg("sequence_id"), Release())
      .def(
          "drain", [](StreamWriter& writer) { return writer.events().drain(); }, Release())
      .def("close", &StreamWriter::close, Release());
}

}  // namespace engine::bindings
