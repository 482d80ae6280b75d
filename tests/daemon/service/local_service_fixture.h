// SPDX-License-Identifier: GPL-3.0-or-later
// LocalServiceTest: a store, settings with one machine of two disks, and a service on top. For tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/manual_clock.h"
#include "tests/daemon/service/served_engine.h"
#include "tests/support/temporary_store.h"

namespace cairn {

inline constexpr std::size_t kMiBytes = 1024 * 1024;

class LocalServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    NewKeySlot slot;
    slot.label = "test";
    slot.secret = SecretBytes::random(32);
    const std::filesystem::path key_file = path("store.key");
    {
      std::ofstream out(key_file, std::ios::binary);
      const ByteView bytes = std::as_const(slot.secret).reveal();
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    ASSERT_EQ(chmod(key_file.c_str(), 0600), 0);
    StoreParameters parameters;
    expect_ok(create_store(path("store"), parameters, {&slot, 1}));
    settings_.file = path("cairn.yaml");
    settings_.store.path = path("store");
    settings_.store.key.key_file = key_file;
    settings_.state_dir = path("state");
    settings_.policies["default"].name = "default";
    add_disk("web", "root", 3 * kMiBytes, 1);
    add_disk("web", "data", kMiBytes + 12'345, 2);
    std::filesystem::create_directory(path("out"));
  }

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }

  void add_disk(const std::string& machine, const std::string& disk, std::size_t size, unsigned seed) {
    const std::filesystem::path image = path(machine + "-" + disk + ".raw");
    write_image(image, size, seed);
    MachineSettings& settings = settings_.machines[machine];
    settings.name = machine;
    DiskSettings row;
    row.name = disk;
    row.image = image;
    settings.disks.push_back(row);
  }
  // Data, then a hole as long, and so on.
  static void write_image(const std::filesystem::path& image, std::size_t size, unsigned seed) {
    std::ofstream out(image, std::ios::binary);
    std::mt19937_64 generator(seed);
    std::string run(256 * 1024, ' ');
    for (std::size_t at = 0; at < size; at += 2 * run.size()) {
      for (char& c : run) c = static_cast<char>(generator());
      out.seekp(static_cast<std::streamoff>(at));
      out.write(run.data(), static_cast<std::streamsize>(std::min(run.size(), size - at)));
    }
    out.close();
    std::filesystem::resize_file(image, size);
  }
  static std::string content(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::unique_ptr<ServedEngine> open_engine(EngineRole role = EngineRole::foreground) {
    EngineOptions options;
    options.role = role;
    options.clock = &clock_;
    return std::make_unique<ServedEngine>(value_of(Engine::open(settings_, options)));
  }
  static nlohmann::json finish(Service& service, const std::string& id) {
    nlohmann::json job = service.job(id).value();
    while (job["state"] == "Queued" || job["state"] == "InProgress")
      job = service.wait_job(id, job["revision"].get<std::uint64_t>(), std::chrono::seconds(60)).value();
    return job;
  }
  static nlohmann::json back_up(Service& service, const std::string& machine) {
    const nlohmann::json started = value_of(service.start_backup({{machine}, false}));
    return finish(service, started["jobs"][0]["id"].get<std::string>());
  }
  static nlohmann::json restore(Service& service, const RestoreRequest& request) {
    return finish(service, value_of(service.start_restore(request))["id"].get<std::string>());
  }
  [[nodiscard]] std::vector<std::string> files_in(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(folder)))
      names.push_back(entry.path().filename());
    return names;
  }

  TemporaryDirectory directory_;
  Settings settings_;
  ManualClock clock_;
};

}  // namespace cairn
