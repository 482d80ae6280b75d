// SPDX-License-Identifier: GPL-3.0-or-later
// NbdConnections. Each call has a connection of its own for as long as it lasts, and several requests under way on it:
// measured for qemu-nbd with 2.5 GiB of qcow2, requests of 256 KiB are the fastest (64 KiB and 1 MiB are both slower).
#include "fs/image/nbd_connections.h"

#include <fmt/format.h>
#include <libnbd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cairn {
namespace {

using std::chrono::steady_clock;

constexpr const char* kReadingNbd = "read image";
constexpr std::uint64_t kMostInFlight = 16;           // requests on one connection
constexpr std::size_t kMostExtents = 1 << 20;         // of one answer
constexpr std::uint64_t kLargestBlock = 1024 * 1024;  // that a server may want reads to be multiples of
constexpr std::uint64_t kSmallestRequest = 4096;

// One request: what the callbacks of libnbd write to. They run in the thread that waits for them.
struct Request {
  std::uint64_t offset = 0;
  MutableBytes to;
  bool done = false;
  int error = 0;
  // What came of it. libnbd does not see to it that all did, and that nothing came twice.
  std::vector<ByteRange> came = {};
  [[nodiscard]] bool is_complete() const;
};

bool Request::is_complete() const {
  std::vector<ByteRange> parts = came;
  std::ranges::sort(parts, {}, &ByteRange::offset);
  std::uint64_t at = offset;
  for (const ByteRange& part : parts) {
    if (part.offset != at) return false;
    at += part.size;
  }
  return at == offset + to.size();
}

constexpr std::size_t kMostParts = 4096;  // of one answer: blocks of 64 bytes
int part_came(void* user, const void*, std::size_t size, std::uint64_t offset, unsigned kind, int*) {
  auto* request = static_cast<Request*>(user);
  if (kind != LIBNBD_READ_ERROR && request->came.size() < kMostParts) request->came.push_back({offset, size});
  return 0;
}

int request_done(void* user, int* error) {
  auto* request = static_cast<Request*>(user);
  request->done = true;
  request->error = *error;
  return 1;  // retired at once
}

struct ExtentAnswer {
  std::uint64_t from = 0;
  std::uint64_t end = 0;  // of what was asked for
  std::vector<NbdExtent> extents;
  bool wrong = false;
};

int take_extents(void* user, const char* context, std::uint64_t offset, std::uint32_t* entries, std::size_t count,
                 int*) {
  auto* answer = static_cast<ExtentAnswer*>(user);
  if (std::strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0) return 0;
  if (offset != answer->from || !answer->extents.empty() || count % 2 != 0) {
    answer->wrong = true;
    return 0;
  }
  for (std::size_t i = 0; i + 1 < count && offset < answer->end && answer->extents.size() < kMostExtents; i += 2) {
    if (entries[i] == 0) {
      answer->wrong = true;
      return 0;
    }
    const std::uint64_t size = std::min<std::uint64_t>(entries[i], answer->end - offset);
    const bool zero = (entries[i + 1] & LIBNBD_STATE_ZERO) != 0;
    if (!answer->extents.empty() && answer->extents.back().zero == zero)
      answer->extents.back().size += size;
    else
      answer->extents.push_back({offset, size, zero});
    offset += size;
  }
  return 0;
}

std::string nbd_words() {
  const char* words = nbd_get_error();
  return words == nullptr ? "no reason was given" : words;
}

}  // namespace

// A connection that one call has for itself.
class NbdConnections::Lease {
 public:
  Lease(NbdConnections& of, nbd_handle* nbd) : of_(&of), nbd_(nbd) {}
  Lease(Lease&& other) noexcept : of_(other.of_), nbd_(std::exchange(other.nbd_, nullptr)) {}
  Lease& operator=(Lease&&) = delete;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    if (nbd_ == nullptr) return;
    of_->state_.lock()->free.push_back(nbd_);
    of_->freed_.notify_one();
  }
  [[nodiscard]] nbd_handle* get() const { return nbd_; }
  // It is of no more use: requests that are still under way must not write anywhere any more.
  void close() {
    static_cast<void>(std::erase(of_->state_.lock()->all, nbd_));
    nbd_close(std::exchange(nbd_, nullptr));
  }

 private:
  NbdConnections* of_;
  nbd_handle* nbd_;
};

namespace {

struct Trouble {
  std::string words;
  int error = 0;
};

// Lets the connection work until something happened. Nothing: it did. Else why not.
std::optional<Trouble> wait_for(nbd_handle* nbd, std::chrono::milliseconds patience, steady_clock::time_point since) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(since + patience - steady_clock::now());
  if (left.count() <= 0) return Trouble{fmt::format("the server did not answer for {} ms", patience.count()), 0};
  if (nbd_poll(nbd, static_cast<int>(left.count())) < 0) return Trouble{nbd_words(), nbd_get_errno()};
  if (nbd_aio_is_dead(nbd) == 1 || nbd_aio_is_closed(nbd) == 1) return Trouble{"the server closed the connection", 0};
  return std::nullopt;
}

Error open_error(const std::string& object, const Trouble& trouble) {
  const int error = trouble.error;
  const ErrorCode code = error == ENOENT || error == ECONNREFUSED ? ErrorCode::image_missing
                         : error == EACCES || error == EPERM      ? ErrorCode::permission_denied
                                                                  : ErrorCode::nbd_server_failed;
  return Error{code, "open image", object, trouble.words, error, {}};
}

}  // namespace

Error NbdConnections::server_error(const std::string& because) const {
  return Error{ErrorCode::nbd_server_failed, kReadingNbd, object_, because, 0, {}};
}

std::unexpected<Error> NbdConnections::failed(Error error) {
  auto state = state_.lock();
  if (!state->failure) state->failure = std::move(error);
  freed_.notify_all();
  return pass_on(*state->failure);
}

NbdConnections::~NbdConnections() {
  for (nbd_handle* nbd : state_.lock()->all) nbd_close(nbd);
}

// Connects one more. The handshake is bounded in time.
Result<void> NbdConnections::add(const std::string& uri, UniqueFd socket) {
  nbd_handle* const nbd = nbd_create();
  if (nbd == nullptr) return fail(ErrorCode::out_of_memory, "open image", object_, nbd_words());
  state_.lock()->all.push_back(nbd);
  if (nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0) return pass_on(server_error(nbd_words()));
  const auto began = steady_clock::now();
  int begun = 0;
  if (socket) {
    begun = nbd_aio_connect_socket(nbd, socket.release());
  } else {
    static_cast<void>(nbd_set_uri_allow_transports(nbd, LIBNBD_ALLOW_TRANSPORT_UNIX));
    static_cast<void>(nbd_set_uri_allow_tls(nbd, LIBNBD_TLS_DISABLE));
    static_cast<void>(nbd_set_uri_allow_local_file(nbd, false));
    begun = nbd_aio_connect_uri(nbd, uri.c_str());
  }
  if (begun < 0) return pass_on(open_error(object_, {nbd_words(), nbd_get_errno()}));
  while (nbd_aio_is_ready(nbd) != 1) {
    if (auto why = wait_for(nbd, limits_.patience, began)) {
      why->words = "no agreement with the server: " + why->words;
      return pass_on(open_error(object_, *why));
    }
  }
  if (++connections_ == 1) return first_facts(nbd);
  if (nbd_get_size(nbd) != static_cast<std::int64_t>(size_))
    return pass_on(server_error("it gives the disk another size on a second connection"));
  return {};
}

// What the first connection says.
Result<void> NbdConnections::first_facts(nbd_handle* nbd) {
  const std::int64_t size = nbd_get_size(nbd);
  if (size < 0) return pass_on(server_error("it names no size that a disk can have: " + nbd_words()));
  size_ = static_cast<std::uint64_t>(size);
  tells_extents_ = nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
  multiple_ = nbd_can_multi_conn(nbd) == 1;
  const std::int64_t least = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
  if (least > 1) block_ = static_cast<std::uint64_t>(least);
  if (block_ > kLargestBlock || (block_ & (block_ - 1)) != 0 || size_ % block_ != 0)
    return pass_on(server_error(fmt::format("it wants blocks of {} bytes, and gives {} bytes", block_, size_)));
  const std::int64_t most = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);
  if (most > 0) request_ = std::min(request_, static_cast<std::uint64_t>(most));
  request_ = std::max({request_ / block_ * block_, block_, kSmallestRequest});
  return {};
}

Result<std::unique_ptr<NbdConnections>> NbdConnections::open(const std::string& uri, const std::string& object,
                                                             NbdLimits limits) {
  std::unique_ptr<NbdConnections> opened(new NbdConnections(object, limits));
  CAIRN_CHECK(opened->add(uri, {}));
  while (opened->multiple_ && opened->connections_ < limits.connections) CAIRN_CHECK(opened->add(uri, {}));
  opened->open_for_use();
  return opened;
}

Result<std::unique_ptr<NbdConnections>> NbdConnections::adopt(std::vector<UniqueFd> sockets, const std::string& object,
                                                              NbdLimits limits) {
  std::unique_ptr<NbdConnections> opened(new NbdConnections(object, limits));
  for (UniqueFd& socket : sockets)
    if (opened->connections_ == 0 || opened->multiple_) CAIRN_CHECK(opened->add({}, std::move(socket)));
  opened->open_for_use();
  return opened;
}

void NbdConnections::open_for_use() {
  auto state = state_.lock();
  state->free = state->all;
}

Result<NbdConnections::Lease> NbdConnections::borrow() {
  auto state = state_.lock();
  freed_.wait(state.held(), [&] { return state->failure || !state->free.empty(); });
  if (state->failure) return pass_on(*state->failure);
  nbd_handle* const nbd = state->free.back();
  state->free.pop_back();
  return Lease(*this, nbd);
}

Result<void> NbdConnections::read(std::uint64_t offset, MutableBytes to) {
  if (to.empty()) return {};
  const std::uint64_t end = offset + to.size();
  if (offset % block_ == 0 && end % block_ == 0) return read_aligned(offset, to);
  const std::uint64_t from = offset / block_ * block_;
  const std::uint64_t until = std::min(size_, (end + block_ - 1) / block_ * block_);
  Buffer around(static_cast<std::size_t>(until - from));
  CAIRN_CHECK(read_aligned(from, around));
  std::memcpy(to.data(), around.data() + (offset - from), to.size());
  return {};
}

Result<void> NbdConnections::read_aligned(std::uint64_t offset, MutableBytes to) {
  CAIRN_TRY(Lease lease, borrow());
  nbd_handle* const nbd = lease.get();
  std::vector<Request> requests;
  for (std::size_t at = 0; at < to.size(); at += static_cast<std::size_t>(request_))
    requests.push_back({offset + at, to.subspan(at, std::min<std::size_t>(request_, to.size() - at)), false, 0, {}});
  std::size_t sent = 0;
  std::size_t answered = 0;
  auto heard = steady_clock::now();
  while (answered < requests.size()) {
    while (sent < requests.size() && sent - answered < kMostInFlight) {
      Request& next = requests[sent];
      const nbd_completion_callback done{request_done, &next, nullptr};
      const nbd_chunk_callback part{part_came, &next, nullptr};
      if (nbd_aio_pread_structured(nbd, next.to.data(), next.to.size(), next.offset, part, done, 0) < 0) {
        const std::string words = nbd_words();
        lease.close();
        return failed(server_error(words));
      }
      ++sent;
    }
    const auto why = wait_for(nbd, limits_.patience, heard);
    const auto now_answered = static_cast<std::size_t>(std::ranges::count_if(requests, &Request::done));
    if (now_answered > answered) heard = steady_clock::now();
    answered = now_answered;
    if (why && answered < requests.size()) {
      lease.close();
      return failed(server_error(why->words));
    }
  }
  for (const Request& request : requests) {
    if (request.error == 0 && request.is_complete()) continue;
    if (request.error == 0) {
      lease.close();
      return failed(server_error(fmt::format("it did not send all of bytes {} to {}, or some of them twice",
                                             request.offset, request.offset + request.to.size() - 1)));
    }
    if (nbd_aio_is_ready(nbd) != 1) {
      lease.close();
      return failed(server_error("it closed the connection, or sent what the protocol does not allow"));
    }
    return fail_errno(request.error, kReadingNbd, object_, ErrorCode::image_unreadable,
                      fmt::format("the server could not read bytes {} to {}", request.offset,
                                  request.offset + request.to.size() - 1));
  }
  return {};
}

Result<std::vector<NbdExtent>> NbdConnections::extents(std::uint64_t offset, std::uint64_t size) {
  CAIRN_TRY(Lease lease, borrow());
  nbd_handle* const nbd = lease.get();
  ExtentAnswer answer{offset, offset + size, {}, false};
  Request request{offset, {}, false, 0, {}};
  const auto began = steady_clock::now();
  const nbd_extent_callback extent{take_extents, &answer, nullptr};
  if (nbd_aio_block_status(nbd, size, offset, extent, {request_done, &request, nullptr}, 0) < 0) {
    const std::string words = nbd_words();
    lease.close();
    return failed(server_error(words));
  }
  while (!request.done) {
    const auto why = wait_for(nbd, limits_.patience, began);
    if (!why || request.done) continue;
    lease.close();
    return failed(server_error(why->words));
  }
  if (request.error != 0) {
    if (nbd_aio_is_ready(nbd) != 1) {
      lease.close();
      return failed(server_error("it closed the connection, or sent what the protocol does not allow"));
    }
    return fail_errno(request.error, "ask for holes of", object_, ErrorCode::image_unreadable,
                      fmt::format("bytes {} to {}", offset, offset + size - 1));
  }
  if (answer.wrong || answer.extents.empty()) {
    lease.close();
    return failed(server_error("its answer about holes is not about the bytes that were asked for"));
  }
  return std::move(answer.extents);
}

}  // namespace cairn
