// Run an exported file on a table of events:
//
//     sideband_score score.onnx events.csv > scores.csv
//
// The table has a line of names, then one line an event, in the units that the file's metadata name. A column of
// several numbers, such as `noise`, is `noise_0`, `noise_1` and so on. Where two inputs have columns of one name,
// `INPUT.COLUMN` tells them apart.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using Names = std::vector<std::string>;

constexpr std::size_t kRows = 1000;  // events a call: what the processor's cache holds

struct Table {
  Names names;
  std::vector<std::vector<float>> rows;
};

// An input or output of the graph: a name for each of its numbers.
struct Port {
  std::string name;
  Names columns;
};

Names split(std::string line) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
  Names cells;
  std::stringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
  return cells;
}

Table read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  Table table;
  std::string line;
  std::getline(file, line);
  table.names = split(line);
  while (std::getline(file, line)) {
    std::vector<float> row;
    for (const std::string& cell : split(line)) {
      float value = 0;
      const char* end = cell.data() + cell.size();
      const auto [rest, error] = std::from_chars(cell.data(), end, value);  // of no locale
      if (error != std::errc() || rest != end) throw std::runtime_error(path + ": '" + cell + "' is not a number");
      row.push_back(value);
    }
    if (row.size() != table.names.size()) throw std::runtime_error(path + ": its lines have different lengths");
    table.rows.push_back(std::move(row));
  }
  if (table.rows.empty()) throw std::runtime_error(path + ": no events");
  return table;
}

// The items of the list that follows `key` in the metadata's JSON, which json.dumps has written; `at` moves behind it.
Names list(const std::string& json, const std::string& key, std::size_t& at) {
  at = json.find(key, at);
  if (at == std::string::npos) throw std::runtime_error("no list " + key + " in the metadata");
  at += key.size();
  Names items;
  while (json.at(at) != ']') {
    const bool quoted = json[at] == '"';
    const std::size_t end = quoted ? json.find('"', ++at) : json.find_first_of(",]", at);
    items.push_back(json.substr(at, end - at));
    if (items.back().find('\\') != std::string::npos) throw std::runtime_error("a name is not plain ASCII");
    at = json.find_first_not_of(", ", quoted ? end + 1 : end);
  }
  return items;
}

Port port(const std::string& name, const std::string& json) {
  std::size_t at = 0;
  const Names columns = list(json, '"' + name + "\": {\"columns\": [", at);
  const Names widths = list(json, "\"widths\": [", at);
  Port found{name, {}};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const int width = std::stoi(widths.at(i));
    for (int k = 0; k < width; ++k) {
      found.columns.push_back(width == 1 ? columns[i] : columns[i] + '_' + std::to_string(k));
    }
  }
  return found;
}

std::size_t place(const Names& names, const std::string& input, const std::string& column) {
  for (const std::string& key : {input + '.' + column, column}) {
    const auto found = std::find(names.begin(), names.end(), key);
    if (found != names.end()) return found - names.begin();
  }
  throw std::runtime_error("no column '" + column + "' for the input '" + input + "'");
}

class Model {
 public:
  explicit Model(const std::string& path) : session_(environment_, path.c_str(), options()) {
    Ort::AllocatorWithDefaultOptions allocator;
    const Ort::ModelMetadata told = session_.GetModelMetadata();
    const auto json = [&](const char* key) {
      const auto text = told.LookupCustomMetadataMapAllocated(key, allocator);
      if (!text) throw std::runtime_error(path + ": not a file of Sideband");
      return std::string(text.get());
    };
    const std::string inputs = json("inputs"), outputs = json("outputs");
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
      inputs_.push_back(port(session_.GetInputNameAllocated(i, allocator).get(), inputs));
    }
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
      outputs_.push_back(port(session_.GetOutputNameAllocated(i, allocator).get(), outputs));
    }
  }

  // Prints a table of what the graph gives for the events.
  void run(const Table& table) {
    std::vector<std::vector<std::size_t>> places;
    for (const Port& input : inputs_) {
      places.emplace_back();
      for (const std::string& column : input.columns) places.back().push_back(place(table.names, input.name, column));
    }
    const char* comma = "";
    for (const Port& output : outputs_) {
      for (const std::string& column : output.columns) {
        std::printf("%s%s", comma, column.c_str());
        comma = ",";
      }
    }
    std::printf("\n");
    for (std::size_t from = 0; from < table.rows.size(); from += kRows) {
      print(call(table, places, from, std::min(from + kRows, table.rows.size())));
    }
  }

 private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);  // a framework has threads of its own
    return options;
  }

  std::vector<Ort::Value> call(const Table& table, const std::vector<std::vector<std::size_t>>& places,
                               std::size_t from, std::size_t to) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<std::vector<float>> feeds(inputs_.size());
    std::vector<Ort::Value> values;
    std::vector<const char*> given, wanted;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      for (std::size_t row = from; row < to; ++row) {
        for (const std::size_t column : places[i]) feeds[i].push_back(table.rows[row][column]);
      }
      const int64_t shape[] = {int64_t(to - from), int64_t(places[i].size())};
      values.push_back(Ort::Value::CreateTensor<float>(memory, feeds[i].data(), feeds[i].size(), shape, 2));
      given.push_back(inputs_[i].name.c_str());
    }
    for (const Port& output : outputs_) wanted.push_back(output.name.c_str());
    return session_.Run(Ort::RunOptions(), given.data(), values.data(), values.size(), wanted.data(), wanted.size());
  }

  void print(const std::vector<Ort::Value>& values) const {
    const int64_t rows = values[0].GetTensorTypeAndShapeInfo().GetShape()[0];
    for (int64_t row = 0; row < rows; ++row) {
      const char* comma = "";
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t width = outputs_[i].columns.size();
        const float* numbers = values[i].GetTensorData<float>() + row * width;
        for (std::size_t k = 0; k < width; ++k) {
          std::printf("%s%.9g", comma, numbers[k]);  // nine digits bring a float back as it was
          comma = ",";
        }
      }
      std::printf("\n");
    }
  }

  Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR};
  Ort::Session session_;
  std::vector<Port> inputs_, outputs_;
};

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 3) throw std::runtime_error("usage: sideband_score MODEL.onnx EVENTS.csv");
    const Table table = read(arguments[2]);
    Model(arguments[1]).run(table);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  }
}
