// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar of cairn verify and cairn store recover.
#include <charconv>

#include "daemon/cli/grammar/grammar.h"

namespace cairn::cli {
namespace {

using Kind = Completion::Kind;

Result<double> parse_percent(std::string text) {
  if (text.empty()) return 100.0;
  if (text.back() == '%') text.pop_back();
  double percent = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (problem != std::errc() || end != text.data() + text.size() || !(percent > 0) || percent > 100)
    return misuse("verify", "--data \"" + text + "\" is no percentage above 0 and up to 100",
                  "give --data alone for everything, or --data 10");
  return percent;
}

Result<Command> finish_verify(const Grammar& grammar) {
  VerifyCommand verify = grammar.verify;
  const bool data = grammar.verify_data_given->count() != 0;
  if (data) {
    CAIRN_TRY(verify.data_percent, parse_percent(grammar.verify_data));
  }
  CAIRN_TRY(verify.rate, parse_rate(grammar.verify_rate, "verify"));
  const bool changes = verify.repair || verify.accept_gaps || !verify.from.empty();
  if (verify.proof && (data || verify.keyless || changes))
    return misuse("verify", "--proof goes alone: it tries keys, and nothing else");
  if (verify.keyless && (data || changes))
    return misuse("verify", "--keyless goes alone: it reads every pack, and changes nothing");
  if (!verify.from.empty() && !verify.repair) return misuse("verify", "--from goes with --repair only", "add --repair");
  if (!verify.what.empty() && !verify.proof)
    return misuse("verify", "the whole store is verified, not " + verify.what + " alone",
                  "leave it out; or add --proof, which tries the keys of one machine or point");
  return verify;
}

Result<Command> finish_recover(const Grammar& grammar) {
  const StoreRecoverCommand& recover = grammar.recover;
  if (!recover.points.empty() && recover.to.empty())
    return misuse("recover", "points are named, and no directory to write them to", "add --to DIR");
  if (recover.points.empty() && !recover.to.empty())
    return misuse("recover", "no point is named", "name MACHINE@POINT; \"cairn store recover\" alone lists them");
  if (recover.points.empty() && recover.salvage)
    return misuse("recover", "--salvage goes with points to extract", "name MACHINE@POINT, and add --to DIR");
  const int keys = (recover.key_file.empty() ? 0 : 1) + (recover.passphrase_file.empty() ? 0 : 1) +
                   (grammar.globals.recovery_key.empty() ? 0 : 1);
  if (keys > 1) return misuse("recover", "more than one key is named");
  return recover;
}

}  // namespace

void Grammar::add_verify() {
  CLI::App* app_ = add(
      app, "verify", "Is everything still there, and as it was written? And mend what is not",
      "Examples:\n"
      "  cairn verify                       points, maps, index: quick\n"
      "  cairn verify --data                and every byte of every pack\n"
      "  cairn verify --data 10 --rate 50MiB\n"
      "  cairn verify --repair --from /mnt/copy-of-the-store\n"
      "  cairn verify --keyless --store /mnt/copy-of-the-store\n"
      "  cairn verify --proof web-01@latest\n"
      "\n"
      "Damage is named as disks of points with offsets in bytes, stays known (\"cairn status\"), and ends the\n"
      "command with exit code 1. --data PERCENT reads the packs whose last check is longest ago.\n"
      "--repair mends from what is intact: the damaged file itself, other packs, and a copy of the store (--from).\n"
      "New files are written and read back first; the old ones stay in aside/ until a later \"cairn verify --data\"\n"
      "finds no damage. What no copy of is found is stored anew by the next backup that still finds it in the image.\n"
      "--keyless needs no key, only the directory: every pack is named by the hash of its bytes.\n"
      "--proof unlocks every encrypted disk of the points with the keys in the points, from the store alone.",
      [this] { return finish_verify(*this); });
  verify_data_given = app_->add_option("--data", verify_data, "Read packs too: all, or PERCENT of their bytes")
                          ->type_name("PERCENT")
                          ->expected(0, 1);
  app_->add_flag("--keyless", verify.keyless, "Check every pack against its name, without any key");
  app_->add_flag("--repair", verify.repair, "Mend what is found");
  completes[app_->add_option("--from", verify.from, "With --repair: a copy of the store's directory")
                ->type_name("DIR")] = Kind::files;
  app_->add_flag("--accept-gaps", verify.accept_gaps, "Points that are missing are noted as gone for good");
  app_->add_option("--rate", verify_rate, "Bytes a second that are read at most, such as 100MiB")->type_name("SIZE");
  app_->add_flag("--proof", verify.proof, "Try the keys in the points on the headers in the points");
  completes[app_->add_option("what", verify.what, "With --proof: a machine, or MACHINE@POINT (default: all)")
                ->type_name("MACHINE")] = Kind::machines_or_points;
}

void Grammar::add_recover(CLI::App& store) {
  CLI::App* app_ = add(
      store, "recover", "List and extract points when only the store's directory is left",
      "Examples:\n"
      "  cairn store recover --store /mnt/store --key-file /root/store.key\n"
      "  cairn store recover --store /mnt/store --recovery-key paper.txt --to /srv/images web-01@latest\n"
      "  cairn store recover --store /mnt/store --key-file store.key --to /srv/images --salvage web-01@latest\n"
      "\n"
      "Needs no settings, no index, no journal and no write permission: packs/, points/ and store.json (or\n"
      "store.json.copy) are enough. Deleted points that are still there are listed too. To extract, an index is built\n"
      "in $TMPDIR or in --work DIR: about 100 bytes for each chunk. A disk becomes DIR/DISK.img; with several points\n"
      "DIR/MACHINE@POINT/DISK.img. With --salvage what is damaged becomes zeros and is listed, byte for byte; the\n"
      "command ends with exit code 3 then. Without it a damaged disk is not extracted.",
      [this] { return finish_recover(*this); });
  completes[app_->add_option("points", recover.points, "The points to extract")->type_name("MACHINE@POINT")] =
      Kind::none;
  completes[app_->add_option("--to", recover.to, "An existing directory")->type_name("DIR")] = Kind::files;
  completes[app_->add_option("--key-file", recover.key_file, "The store's key file")->type_name("FILE")] = Kind::files;
  completes[app_->add_option("--passphrase-file", recover.passphrase_file, "A file with the store's passphrase")
                ->type_name("FILE")] = Kind::files;
  completes[app_->add_option("--work", recover.work, "Where the index is built (default: $TMPDIR, or /tmp)")
                ->type_name("DIR")] = Kind::files;
  app_->add_flag("--force", recover.force, "Replace existing files");
  app_->add_flag("--salvage", recover.salvage, "Zeros for what is damaged, instead of giving up");
}

}  // namespace cairn::cli
