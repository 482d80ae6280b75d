// SPDX-License-Identifier: GPL-3.0-or-later
// Lru: values by key, bounded in number and in cost; what was used longest ago goes first. What is pushed out is handed
// back, so that a caller with a lock can free it after the lock.
//   Lru<std::string, SharedPack> packs({.entries = 256});
//   packs.keep("p", pack);
//   if (SharedPack* known = packs.find("p")) use(**known);
// One thread at a time: a Guarded<Lru<..>> (config/base/guarded.h) is for several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <unordered_map>
#include <utility>

namespace cairn {

// What an Lru keeps at most. The unit of cost is its user's: mostly bytes.
struct LruBounds {
  std::size_t entries = std::numeric_limits<std::size_t>::max();
  std::uint64_t cost = std::numeric_limits<std::uint64_t>::max();
};

template <class Key, class Value, class Hash = std::hash<Key>>
class Lru {
 public:
  struct Entry {
    Key key;
    Value value;
    std::uint64_t cost = 0;
  };
  using Entries = std::list<Entry>;

  Lru() = default;  // without bounds
  explicit Lru(LruBounds bounds) : bounds_(bounds) {}
  Lru(Lru&&) noexcept = default;
  Lru& operator=(Lru&&) noexcept = default;
  Lru(const Lru&) = delete;
  Lru& operator=(const Lru&) = delete;
  ~Lru() = default;

  // Null: it is not kept. What is found is the most recently used from now on. Valid until the next other call.
  Value* find(const Key& key) {
    const auto at = by_key_.find(key);
    if (at == by_key_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, at->second);
    return &at->second->value;
  }

  // Keeps a value as the most recently used. Returns what had to go for it, the longest unused first: the value itself,
  // and nothing else, when it alone is beyond the bounds. A key that is there keeps its value: nothing happens.
  Entries keep(const Key& key, Value value, std::uint64_t cost = 0) {
    Entries out;
    if (by_key_.contains(key)) return out;
    if (cost > bounds_.cost || bounds_.entries == 0) {
      out.push_back({key, std::move(value), cost});
      return out;
    }
    recent_.push_front({key, std::move(value), cost});
    by_key_.emplace(key, recent_.begin());
    cost_ += cost;
    while (recent_.size() > bounds_.entries || cost_ > bounds_.cost) take(std::prev(recent_.end()), out);
    return out;
  }

  // Gives one up; returns it, or nothing when it is not kept.
  Entries drop(const Key& key) {
    Entries out;
    if (const auto at = by_key_.find(key); at != by_key_.end()) take(at->second, out);
    return out;
  }

  // Gives up those for whose value `unwanted` is true; returns them.
  template <class Unwanted>
  Entries drop_if(const Unwanted& unwanted) {
    Entries out;
    for (auto at = recent_.begin(); at != recent_.end();) {
      const auto here = at++;
      if (unwanted(std::as_const(here->value))) take(here, out);
    }
    return out;
  }

  // Gives all up; returns them.
  Entries clear() {
    by_key_.clear();
    cost_ = 0;
    return std::exchange(recent_, {});
  }

  [[nodiscard]] std::size_t size() const { return recent_.size(); }
  [[nodiscard]] std::uint64_t cost() const { return cost_; }

 private:
  void take(typename Entries::iterator at, Entries& out) {
    cost_ -= at->cost;
    by_key_.erase(at->key);
    out.splice(out.end(), recent_, at);
  }

  LruBounds bounds_;
  Entries recent_;  // the most recently used first
  std::unordered_map<Key, typename Entries::iterator, Hash> by_key_;
  std::uint64_t cost_ = 0;
};

}  // namespace cairn
