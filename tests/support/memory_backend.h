// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryBackend: objects in memory, and FaultyBackend: any backend with the power cut, or an error, at a chosen call.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "fs/io/backend.h"

namespace cairn {

class MemoryBackend final : public Backend {
 public:
  [[nodiscard]] std::string location() const override { return "memory"; }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    auto bytes = std::make_shared<Buffer>();
    for (const ByteView part : parts) append(*bytes, part);
    const std::lock_guard lock(mutex_);
    if (if_exists == IfExists::fail && objects_.contains(std::string(name)))
      return fail(ErrorCode::object_exists, "write", std::string(name), "there is an object of that name");
    objects_[std::string(name)] = std::move(bytes);
    ++changes_;
    return {};
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(name);
    if (found == objects_.end()) return fail(ErrorCode::object_missing, "open", std::string(name));
    return std::make_unique<Reader>(found->second);
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, bytes] : objects_)
      if (name.starts_with(prefix)) names.push_back(name);
    return names;
  }
  Result<void> remove(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    if (const auto found = objects_.find(name); found != objects_.end()) {
      objects_.erase(found);
      ++changes_;
      return {};
    }
    return fail(ErrorCode::object_missing, "remove", std::string(name));
  }
  Result<std::unique_ptr<ObjectHold>> hold(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(name);
    if (found == objects_.end()) return fail(ErrorCode::object_missing, "hold", std::string(name));
    struct Alive final : ObjectHold {
      std::shared_ptr<const bool> alive = std::make_shared<const bool>(true);
    };
    auto held = std::make_unique<Alive>();
    holds_.emplace(name, held->alive);
    return std::unique_ptr<ObjectHold>(std::move(held));
  }
  Result<bool> remove_unless_held(std::string_view name) override {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(holds_, [](const auto& entry) { return entry.second.expired(); });
      if (holds_.contains(std::string(name))) return false;
    }
    CAIRN_CHECK(remove(name));
    return true;
  }
  Result<std::optional<std::uint64_t>> change_token(std::string_view) override {
    const std::lock_guard lock(mutex_);
    return std::optional(changes_);
  }

 private:
  class Reader final : public ObjectReader {
   public:
    explicit Reader(std::shared_ptr<const Buffer> bytes) : bytes_(std::move(bytes)) {}
    [[nodiscard]] std::uint64_t size() const override { return bytes_->size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) const override {
      if (offset > bytes_->size() || to.size() > bytes_->size() - offset)
        return fail(ErrorCode::object_missing, "read", "memory", "the object is shorter");
      std::copy_n(bytes_->begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
      return {};
    }

   private:
    std::shared_ptr<const Buffer> bytes_;
  };

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Buffer>, std::less<>> objects_;
  std::multimap<std::string, std::weak_ptr<const bool>> holds_;
  std::uint64_t changes_ = 1;
};

// How the call goes at which the power is cut: its effect is lost, or is there although no answer came.
enum class CutAt { before_effect, after_effect };

// From call number `cut` on (from 0), everything fails: the machine is off. Counts all calls.
class FaultyBackend final : public Backend {
 public:
  FaultyBackend(std::shared_ptr<Backend> inner, std::uint64_t cut, CutAt at)
      : inner_(std::move(inner)), cut_(cut), at_(at) {}
  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  // From now on.
  void cut_now() { cut_ = calls_.load(); }

  [[nodiscard]] std::string location() const override { return inner_->location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    return at_call([&] { return inner_->put(name, parts, if_exists); });
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    return at_call([&] { return inner_->open(name); });
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    return at_call([&] { return inner_->list(prefix); });
  }
  Result<void> remove(std::string_view name) override {
    return at_call([&] { return inner_->remove(name); });
  }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return at_call([&] { return inner_->change_token(prefix); });
  }
  Result<void> remove_leftovers() override {
    return at_call([&] { return inner_->remove_leftovers(); });
  }
  Result<void> settle(std::string_view prefix) override {
    return at_call([&] { return inner_->settle(prefix); });
  }

 private:
  template <class Call>
  auto at_call(Call call) -> decltype(call()) {
    const std::uint64_t number = calls_++;
    if (number == cut_ && at_ == CutAt::after_effect) static_cast<void>(call().has_value());
    if (number >= cut_) return fail(ErrorCode::io_error, "reach", "the disk", "the power is off");
    return call();
  }

  std::shared_ptr<Backend> inner_;
  std::atomic<std::uint64_t> cut_;
  CutAt at_;
  std::atomic<std::uint64_t> calls_ = 0;
};

}  // namespace cairn
