// SPDX-License-Identifier: GPL-3.0-or-later
// NbdTestServer: an NBD server that gives bytes from memory over socket pairs, and does so wrongly where a test wants
// it to. Protocol: https://github.com/NetworkBlockDevice/nbd, doc/proto.md.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/unique_fd.h"

namespace cairn::testing {

// What it does. Everything unset is honest.
struct NbdBehaviour {
  bool greets = true;                        // false: it says nothing at all
  bool multi_conn = true;                    // what it says of itself
  bool block_status = true;                  // whether it offers base:allocation
  std::optional<std::uint64_t> size = {};    // that it claims; unset: that of its bytes
  std::uint64_t size_step = 0;               // what each further connection claims more
  std::optional<ByteRange> bad_reads = {};   // EIO for whatever touches this
  std::optional<ByteRange> bad_status = {};  // EIO for block status that touches this
  std::size_t most_runs = 1 << 20;           // in an answer about block status; more are cut off
  std::uint64_t status_past = 0;             // bytes that the last run reaches beyond what was asked for
  bool status_empty = false;                 // runs of no bytes
  bool status_other = false;                 // an answer for a context that was not asked for
  int dies_after = -1;                       // reads; then it closes the connection
  int hangs_after = -1;                      // reads; then it does not answer any more
  bool short_data = false;                   // data chunks are cut in half, the reply is called done
  bool wrong_offset = false;                 // data of another place than was asked for
  bool wrong_magic = false;                  // replies that are none
};

class NbdTestServer {
 public:
  NbdTestServer(Buffer bytes, NbdBehaviour behaviour = {}) : bytes_(std::move(bytes)), does_(behaviour) {}
  NbdTestServer(const NbdTestServer&) = delete;
  NbdTestServer& operator=(const NbdTestServer&) = delete;
  ~NbdTestServer() {
    for (UniqueFd& end : ends_) ::shutdown(end.get(), SHUT_RDWR);
  }

  // Sockets that are connected to it.
  std::vector<UniqueFd> connect(unsigned count = 4) {
    std::vector<UniqueFd> clients;
    for (unsigned i = 0; i < count; ++i) {
      std::array<int, 2> pair{-1, -1};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) std::abort();
      clients.emplace_back(pair[0]);
      ends_.emplace_back(pair[1]);
    }
    const std::size_t from = ends_.size() - count;
    for (std::size_t i = from; i < ends_.size(); ++i)
      threads_.emplace_back([this, socket = ends_[i].get(), i] { Session{*this, socket, i}.run(); });
    return clients;
  }
  [[nodiscard]] int reads() const { return reads_; }
  [[nodiscard]] int status_calls() const { return status_calls_; }

 private:
  struct Session {
    NbdTestServer& server;
    int socket;
    std::size_t number;

    template <class T>
    static void put(Buffer& to, T value) {
      for (std::size_t i = sizeof(T); i-- > 0;) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }
    template <class T>
    static T get(ByteView from, std::size_t at) {
      T value = 0;
      for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((value << 8) | from[at + i]);
      return value;
    }
    bool send(const Buffer& bytes) const {
      for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t sent = ::send(socket, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        done += static_cast<std::size_t>(sent);
      }
      return true;
    }
    [[nodiscard]] std::optional<Buffer> receive(std::size_t size) const {
      Buffer bytes(size);
      for (std::size_t done = 0; done < size;) {
        const ssize_t got = ::recv(socket, bytes.data() + done, size - done, 0);
        if (got <= 0) return std::nullopt;
        done += static_cast<std::size_t>(got);
      }
      return bytes;
    }
    void hang() const {
      while (receive(1)) {
      }
    }

    void run() const {
      if (!server.does_.greets) return hang();
      Buffer hello;
      put<std::uint64_t>(hello, 0x4e42444d41474943);  // NBDMAGIC
      put<std::uint64_t>(hello, 0x49484156454f5054);  // IHAVEOPT
      put<std::uint16_t>(hello, 3);
      if (!send(hello) || !receive(4)) return;
      while (const auto option = receive(16)) {
        const auto number_of = get<std::uint32_t>(*option, 8);
        const auto data = receive(get<std::uint32_t>(*option, 12));
        if (!data || !answer_option(number_of)) return;
        if (number_of == 7) break;
      }
      while (const auto request = receive(28))
        if (!answer(*request)) break;
      ::shutdown(socket, SHUT_RDWR);
    }
    bool option_reply(std::uint32_t option, std::uint32_t type, const Buffer& data) const {
      Buffer reply;
      put<std::uint64_t>(reply, 0x3e889045565a9);
      put(reply, option);
      put(reply, type);
      put<std::uint32_t>(reply, static_cast<std::uint32_t>(data.size()));
      reply.insert(reply.end(), data.begin(), data.end());
      return send(reply);
    }
    [[nodiscard]] bool answer_option(std::uint32_t option) const {
      constexpr std::uint32_t kAck = 1, kInfo = 3, kContext = 4, kUnsupported = 0x80000001;
      if (option == 8) return option_reply(option, kAck, {});
      if (option == 10) {
        Buffer context;
        put<std::uint32_t>(context, 1);
        for (const char c : std::string("base:allocation")) context.push_back(static_cast<std::uint8_t>(c));
        if (server.does_.block_status && !option_reply(option, kContext, context)) return false;
        return option_reply(option, kAck, {});
      }
      if (option != 7) return option_reply(option, kUnsupported, {});
      Buffer info;
      put<std::uint16_t>(info, 0);
      put<std::uint64_t>(info, server.does_.size.value_or(server.bytes_.size()) + number * server.does_.size_step);
      // has flags, read-only, multi-conn
      put<std::uint16_t>(info, static_cast<std::uint16_t>(3 | (server.does_.multi_conn ? 1 << 8 : 0)));
      return option_reply(option, kInfo, info) && option_reply(option, kAck, {});
    }

    bool reply(std::uint64_t cookie, std::uint16_t flags, std::uint16_t type, const Buffer& data) const {
      Buffer bytes;
      put<std::uint32_t>(bytes, server.does_.wrong_magic ? 0x12345678 : 0x668e33ef);
      put(bytes, flags);
      put(bytes, type);
      put(bytes, cookie);
      put<std::uint32_t>(bytes, static_cast<std::uint32_t>(data.size()));
      bytes.insert(bytes.end(), data.begin(), data.end());
      return send(bytes);
    }
    [[nodiscard]] bool error(std::uint64_t cookie) const {
      Buffer data;
      put<std::uint32_t>(data, EIO);
      put<std::uint16_t>(data, 0);
      return reply(cookie, 1, 0x8001, data);
    }
    static bool touches(const std::optional<ByteRange>& range, std::uint64_t offset, std::uint64_t size) {
      return range && offset < range->offset + range->size && range->offset < offset + size;
    }
    [[nodiscard]] bool answer(ByteView request) const {
      const auto type = get<std::uint16_t>(request, 6);
      const auto cookie = get<std::uint64_t>(request, 8);
      const auto offset = get<std::uint64_t>(request, 16);
      const auto size = get<std::uint32_t>(request, 24);
      if (type == 2) return false;
      if (type == 7) return answer_status(cookie, offset, size);
      const int number_of = server.reads_++;
      if (server.does_.dies_after >= 0 && number_of >= server.does_.dies_after) return false;
      if (server.does_.hangs_after >= 0 && number_of >= server.does_.hangs_after) {
        hang();
        return false;
      }
      if (touches(server.does_.bad_reads, offset, size)) return error(cookie);
      Buffer data;
      put<std::uint64_t>(data, server.does_.wrong_offset ? offset + 512 : offset);
      const std::size_t given = server.does_.short_data ? size / 2 : size;
      data.resize(8 + given);
      if (offset < server.bytes_.size()) {
        const std::size_t there = std::min<std::size_t>(given, server.bytes_.size() - offset);
        std::copy_n(server.bytes_.begin() + static_cast<std::ptrdiff_t>(offset), there, data.begin() + 8);
      }
      return reply(cookie, 1, 1, data);
    }
    [[nodiscard]] bool answer_status(std::uint64_t cookie, std::uint64_t offset, std::uint32_t size) const {
      server.status_calls_++;
      if (touches(server.does_.bad_status, offset, size)) return error(cookie);
      Buffer data;
      put<std::uint32_t>(data, server.does_.status_other ? 99 : 1);
      constexpr std::uint64_t kRun = 4096;
      std::size_t runs = 0;
      for (std::uint64_t at = offset; at < offset + size && runs < server.does_.most_runs; ++runs) {
        const bool zero = is_zero(at, std::min(kRun, offset + size - at));
        std::uint64_t end = at;
        while (end < offset + size && is_zero(end, std::min(kRun, offset + size - end)) == zero)
          end += std::min(kRun, offset + size - end);
        const bool last = end == offset + size;
        put<std::uint32_t>(data, server.does_.status_empty
                                     ? 0
                                     : static_cast<std::uint32_t>(end - at + (last ? server.does_.status_past : 0)));
        put<std::uint32_t>(data, zero ? 3 : 0);
        at = end;
      }
      return reply(cookie, 1, 5, data);
    }
    [[nodiscard]] bool is_zero(std::uint64_t offset, std::uint64_t size) const {
      if (offset >= server.bytes_.size()) return true;
      const std::uint64_t count = std::min<std::uint64_t>(size, server.bytes_.size() - offset);
      return is_all_zero(ByteView(server.bytes_).subspan(offset, count));
    }
  };

  const Buffer bytes_;
  const NbdBehaviour does_;
  std::atomic<int> reads_{0};
  std::atomic<int> status_calls_{0};
  std::vector<UniqueFd> ends_;
  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace cairn::testing
