// SPDX-License-Identifier: GPL-3.0-or-later
// A guest that libvirt runs. Its own API for all but the agent's commands, which go through virDomainQemuAgentCommand:
// why, LIVE.md "libvirt".
#include <fmt/core.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/guest/guest.h"
#include "fs/guest/libvirt_library.h"
#include "fs/guest/qmp.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class Connection {
 public:
  static Result<Connection> open(const std::string& uri) {
    CAIRN_TRY(const LibvirtLibrary* library, libvirt_library());
    const virConnectPtr connection = library->connect_open(uri.c_str());
    if (connection == nullptr) {
      auto error = libvirt_failed(*library, "connect to libvirt at", uri);
      // A daemon that is not there fails in many ways; none of them says anything of a domain.
      Error out = std::move(error).error();
      if (out.code != ErrorCode::permission_denied) out.code = ErrorCode::guest_unreachable;
      return pass_on(std::move(out));
    }
    // Three messages without an answer, 5 s apart, end the connection.
    library->connect_set_keep_alive(connection, 5, 3);
    return Connection(*library, connection);
  }
  Connection(Connection&& other) noexcept
      : library_(other.library_), connection_(std::exchange(other.connection_, nullptr)) {}
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (connection_ != nullptr) library_.connect_close(connection_);
  }
  [[nodiscard]] const LibvirtLibrary& library() const { return library_; }
  [[nodiscard]] virConnectPtr get() const { return connection_; }

 private:
  Connection(const LibvirtLibrary& library, virConnectPtr connection) : library_(library), connection_(connection) {}
  const LibvirtLibrary& library_;
  virConnectPtr connection_;
};

class Domain {
 public:
  Domain(const LibvirtLibrary& library, virDomainPtr domain) : library_(library), domain_(domain) {}
  Domain(Domain&& other) noexcept : library_(other.library_), domain_(std::exchange(other.domain_, nullptr)) {}
  Domain& operator=(Domain&&) = delete;
  ~Domain() {
    if (domain_ != nullptr) library_.domain_free(domain_);
  }
  [[nodiscard]] const LibvirtLibrary& library() const { return library_; }
  [[nodiscard]] virDomainPtr get() const { return domain_; }

 private:
  const LibvirtLibrary& library_;
  virDomainPtr domain_;
};

// virDomainState of libvirt-domain.h.
Result<GuestState> state_of(const Domain& domain, const std::string& object) {
  int state = 0;
  if (domain.library().domain_get_state(domain.get(), &state, nullptr, 0) != 0)
    return libvirt_failed(domain.library(), "look at", object);
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return GuestState::running;
    case VIR_DOMAIN_SHUTDOWN:  // on its way there
    case VIR_DOMAIN_SHUTOFF:
      return GuestState::off;
    case VIR_DOMAIN_CRASHED:
      return GuestState::crashed;
    default:
      return GuestState::paused;
  }
}

Result<std::string> definition_of(const Domain& domain, unsigned flags, const std::string& object) {
  char* const text = domain.library().domain_get_xml(domain.get(), flags);
  if (text == nullptr) return libvirt_failed(domain.library(), "read the definition of", object);
  std::string definition = text;
  std::free(text);  // libvirt says so
  return definition;
}

class LibvirtAgent final : public GuestAgent {
 public:
  LibvirtAgent(const Domain& domain, const std::string& name)
      : domain_(domain), object_("the guest agent of libvirt domain " + name) {}

  Result<json> ask(std::string_view command, const json& arguments, milliseconds within) override {
    json question{{"execute", command}};
    if (!arguments.empty()) question["arguments"] = arguments;
    const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(within).count());
    char* const text = domain_.library().domain_agent_command(domain_.get(), json_text(question).c_str(),
                                                              static_cast<int>(seconds), 0);
    const std::string doing = fmt::format("run {} in", command);
    if (text == nullptr) return libvirt_failed(domain_.library(), doing, object_);
    const auto answer = parse_json(text, {MessageSocket::kLongest, 32});
    std::free(text);
    if (!answer || !answer->is_object())
      return fail(ErrorCode::guest_bad_answer, doing, object_, "what it sent is no JSON object");
    if (answer->contains("error")) return refused(*answer, command, object_);
    const auto value = answer->find("return");
    if (value == answer->end())
      return fail(ErrorCode::guest_bad_answer, doing, object_, "the answer has neither a result nor an error");
    return *value;
  }
  [[nodiscard]] const std::string& object() const override { return object_; }

 private:
  const Domain& domain_;
  std::string object_;
};

class LibvirtGuest final : public Guest {
 public:
  LibvirtGuest(Connection connection, Domain domain, const GuestSettings& settings)
      : connection_(std::move(connection)),
        domain_(std::move(domain)),
        object_(settings.text()),
        agent_(domain_, settings.domain) {}

  Result<GuestState> state() override { return state_of(domain_, object_); }
  GuestAgent* agent() override { return &agent_; }
  Result<void> pause() override {
    CAIRN_TRY(const GuestState now, state());
    if (now != GuestState::running) return {};
    if (domain_.library().domain_suspend(domain_.get()) != 0)
      return libvirt_failed(domain_.library(), "pause", object_);
    return {};
  }
  Result<void> resume() override {
    CAIRN_TRY(const GuestState now, state());
    if (now != GuestState::paused) return {};
    if (domain_.library().domain_resume(domain_.get()) != 0)
      return libvirt_failed(domain_.library(), "resume", object_);
    return {};
  }
  Result<std::string> definition(Definition which) override {
    return definition_of(domain_, which == Definition::inactive ? unsigned{VIR_DOMAIN_XML_INACTIVE} : 0U, object_);
  }
  [[nodiscard]] std::string version() const override {
    unsigned long version = 0;  // libvirt's type: major * 1,000,000 + minor * 1,000 + micro
    if (connection_.library().connect_get_version(connection_.get(), &version) != 0) return {};
    return fmt::format("QEMU {}.{}.{}", version / 1'000'000, version / 1'000 % 1'000, version % 1'000);
  }

 private:
  Connection connection_;  // before what lives in it
  Domain domain_;
  std::string object_;
  LibvirtAgent agent_;
};

}  // namespace

Result<std::unique_ptr<Guest>> open_libvirt_guest(const GuestSettings& settings) {
  CAIRN_TRY(Connection connection, Connection::open(settings.uri));
  const LibvirtLibrary& library = connection.library();
  const virDomainPtr domain = library.domain_lookup_by_name(connection.get(), settings.domain.c_str());
  if (domain == nullptr) return libvirt_failed(library, "find", settings.text());
  return std::make_unique<LibvirtGuest>(std::move(connection), Domain(library, domain), settings);
}

Result<std::vector<ListedGuest>> list_libvirt_guests(const std::string& uri) {
  CAIRN_TRY(const Connection connection, Connection::open(uri));
  const LibvirtLibrary& library = connection.library();
  virDomainPtr* all = nullptr;
  const int count = library.list_all_domains(connection.get(), &all, 0);
  if (count < 0) return libvirt_failed(library, "list the domains of", uri);
  std::vector<Domain> domains;
  for (int i = 0; i < count; ++i) domains.emplace_back(library, all[i]);
  std::free(static_cast<void*>(all));
  std::vector<ListedGuest> guests;
  for (const Domain& domain : domains) {
    const std::string name = library.domain_get_name(domain.get());
    const std::string object = "libvirt domain " + name;
    const auto state = state_of(domain, object);
    auto definition = definition_of(domain, VIR_DOMAIN_XML_INACTIVE, object);
    // One that was removed while we list is not there.
    if (state && definition) guests.push_back({name, *state, *std::move(definition)});
  }
  return guests;
}

}  // namespace cairn
