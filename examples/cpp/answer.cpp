// A bundle in OpenVINO's C++ runtime, two ways.
//
//     answer tensor BUNDLE-DIRECTORY VARIANT TENSOR.f32...
//     answer picture SINGLE.onnx PICTURE.ppm...
//
// `tensor` runs a variant's model on prepared inputs, 3 * S * S little-endian float32. `picture`
// looks for the box of decoded pixels and runs the single file of `realmnet bundle to-onnx`. Both
// print one line a label: name, probability, threshold, and 1 where it is found. Exit codes as of
// `realmnet`: 0 answered, 2 usage, 7 picture refused, 1 anything else; the first file that is not
// answered is the last that is looked at. Research use only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "field_of_view.hpp"
#include "json.hpp"
#include "ppm.hpp"

namespace {

using Words = std::vector<std::string>;

class Refused : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Label {
    std::string name;
    double temperature, threshold;
};

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read '" + path + "'");
    return {std::istreambuf_iterator<char>(file), {}};
}

// What the Python runtime states to the engine, for the same reasons: see docs/embedding.md.
ov::AnyMap settings(const std::string& execution_precision) {
    ov::AnyMap chosen{{"INFERENCE_PRECISION_HINT", "f32"},
                      {"PERFORMANCE_HINT", "LATENCY"},
                      {"NUM_STREAMS", 1},
                      {"INFERENCE_NUM_THREADS", 2},
                      {"ENABLE_CPU_PINNING", false},
                      {"DYNAMIC_QUANTIZATION_GROUP_SIZE", 0}};
    if (execution_precision == "fp32") chosen["LP_TRANSFORMS_MODE"] = std::string("NO");
    return chosen;
}

void print(const std::string& name, double probability, double threshold) {
    std::printf("%s %.9f %.9f %d\n", name.c_str(), probability, threshold,
                probability >= threshold ? 1 : 0);
}

const Json& variant_named(const Json& manifest, const std::string& name) {
    for (const Json& variant : manifest["variants"].items())
        if (variant["name"].text() == name) return variant;
    throw std::runtime_error("the bundle has no variant '" + name + "'");
}

std::vector<Label> labels_of(const Json& manifest, const Json& variant) {
    const Json& point = variant["operating_point"];
    std::vector<Label> labels;
    for (const Json& label : manifest["labels"]["labels"].items()) {
        const std::string& name = label["name"].text();
        labels.push_back({name, point["temperatures"][name].number(),
                          point["thresholds"][name].number()});
    }
    return labels;
}

void answer_tensors(const std::string& bundle, const std::string& name, const Words& paths) {
    const Json manifest = Json::parse(read_file(bundle + "/manifest.json"));
    const Json& variant = variant_named(manifest, name);
    const std::vector<Label> labels = labels_of(manifest, variant);
    const auto size = std::size_t(manifest["preprocess"]["size"].number());
    const std::size_t bytes = 3 * size * size * sizeof(float);
    ov::Core core;
    ov::CompiledModel model = core.compile_model(bundle + "/" + variant["artifact"].text(), "CPU",
                                                 settings(variant["execution_precision"].text()));
    ov::InferRequest request = model.create_infer_request();
    for (const std::string& path : paths) {
        const std::string raw = read_file(path);
        if (raw.size() != bytes)
            throw std::runtime_error("the tensor holds " + std::to_string(raw.size()) +
                                     " bytes, not " + std::to_string(bytes));
        std::memcpy(request.get_input_tensor().data<float>(), raw.data(), bytes);
        request.infer();
        const float* logits = request.get_tensor("logits").data<float>();
        for (const Label& label : labels) {
            const double scaled = double(*logits++) / label.temperature;
            print(label.name, 1.0 / (1.0 + std::exp(-scaled)), label.threshold);
        }
    }
}

realmnet::FieldOfView field_of(const realmnet::Picture& picture, const Json& facts) {
    if (facts["preprocess"]["deborder"].text() == "off") {
        const std::size_t pixels = std::size_t(picture.height) * picture.width;
        return {{0, 0, picture.width, picture.height}, std::vector<realmnet::Byte>(pixels, 1)};
    }
    return realmnet::find_field_of_view(picture);
}

// What the Python runtime refuses; the single file itself answers any pixels.
void require_answerable(const realmnet::Picture& picture, const realmnet::FieldOfView& field,
                        const Json& facts) {
    if (realmnet::saturation(picture, field) < realmnet::least_saturation)
        throw Refused("the picture is grey, as angiograms and autofluorescence are");
    const auto& [x0, y0, x1, y1] = field.box;
    if (std::min(x1 - x0, y1 - y0) < int(facts["smallest_side"].number()))
        throw Refused("the picture is too small");
}

void answer_picture(ov::InferRequest& request, const Json& facts, const std::string& path) {
    Ppm file = read_ppm(path);
    const realmnet::Picture picture{file.rgb.data(), file.height, file.width};
    realmnet::FieldOfView field = field_of(picture, facts);
    require_answerable(picture, field, facts);
    const auto height = std::size_t(file.height), width = std::size_t(file.width);
    request.set_tensor("image", ov::Tensor(ov::element::u8, {height, width, 3}, file.rgb.data()));
    std::int64_t box[] = {field.box.x0, field.box.y0, field.box.x1, field.box.y1};
    request.set_tensor("box", ov::Tensor(ov::element::i64, {4}, box));
    if (facts["preprocess"]["deborder"].text() == "crop+mask")
        request.set_tensor("mask",
                           ov::Tensor(ov::element::u8, {height, width}, field.mask.data()));
    request.infer();
    const float* probabilities = request.get_tensor("probabilities").data<float>();
    const auto& thresholds = facts["thresholds"].items();
    const auto& names = facts["labels"].items();
    for (std::size_t i = 0; i < names.size(); ++i)
        print(names[i].text(), probabilities[i], thresholds[i].number());
}

void answer_pictures(const std::string& single, const Words& paths) {
    ov::Core core;
    const std::shared_ptr<ov::Model> network = core.read_model(single);
    const Json facts = Json::parse(network->get_rt_info<std::string>("framework", "realmnet"));
    ov::CompiledModel model = core.compile_model(network, "CPU",
                                                 settings(facts["execution_precision"].text()));
    ov::InferRequest request = model.create_infer_request();
    for (const std::string& path : paths) answer_picture(request, facts, path);
}

}  // namespace

int main(int count, char** words) {
    const Words given(words + 1, words + count);
    try {
        if (given.size() > 3 && given[0] == "tensor")
            answer_tensors(given[1], given[2], {given.begin() + 3, given.end()});
        else if (given.size() > 2 && given[0] == "picture")
            answer_pictures(given[1], {given.begin() + 2, given.end()});
        else {
            std::fprintf(stderr,
                         "answer: use `answer tensor BUNDLE-DIRECTORY VARIANT TENSOR.f32...` or "
                         "`answer picture SINGLE.onnx PICTURE.ppm...`\n");
            return 2;
        }
    } catch (const realmnet::NoFieldOfView& refusal) {
        std::fprintf(stderr, "answer: %s\n", refusal.what());
        return 7;
    } catch (const Refused& refusal) {
        std::fprintf(stderr, "answer: %s\n", refusal.what());
        return 7;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "answer: %s\n", error.what());
        return 1;
    }
    return 0;
}
