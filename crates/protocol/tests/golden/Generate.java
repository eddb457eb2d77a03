import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.*;
import java.io.InputStream;
import java.util.HexFormat;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.*;

/**
 * Prints one line for each API, direction, version and variant: name, direction, version, the bytes as Apache Kafka writes
 * them (hex), and the message as JSON. See README.md for how to run it.
 *
 * With the argument "errors" it prints code, name and retriability of every error instead.
 *
 * The messages are made from the schemas inside kafka-clients' jar, so nothing here repeats what the Rust definitions say.
 * Variant "full" gives every field a value of its own; "sparse" gives null wherever null is allowed, and tagged fields their
 * defaults.
 */
public class Generate {
    static final ObjectMapper MAPPER = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);

    final JsonNode schema;
    final int version;
    final boolean sparse;
    int count = 0;

    Generate(JsonNode schema, int version, boolean sparse) {
        this.schema = schema;
        this.version = version;
        this.sparse = sparse;
    }

    public static void main(String[] apis) throws Exception {
        if (apis[0].equals("errors")) {
            for (Errors error : Errors.values())
                System.out.println(error.code() + " " + error.name() + " " + (error.exception() instanceof RetriableException));
            return;
        }
        for (String api : apis) {
            String name = api.substring(0, api.indexOf(':'));
            int min = Integer.parseInt(api.substring(api.indexOf(':') + 1, api.indexOf('-')));
            int max = Integer.parseInt(api.substring(api.indexOf('-') + 1));
            for (String direction : new String[] {"Request", "Response"})
                for (int version = min; version <= max; version++)
                    for (boolean sparse : new boolean[] {false, true}) {
                        ObjectNode json = new Generate(schema(name + direction), version, sparse).message();
                        String bytes = HexFormat.of().formatHex(write(name + direction, json, (short) version));
                        System.out.println(name + " " + direction + " " + version + " " + bytes + " " + json);
                    }
        }
    }

    static JsonNode schema(String message) throws Exception {
        try (InputStream in = Message.class.getResourceAsStream("/common/message/" + message + ".json")) {
            return MAPPER.readTree(in);
        }
    }

    static byte[] write(String message, ObjectNode json, short version) throws Exception {
        Message data = (Message) Class.forName("org.apache.kafka.common.message." + message + "DataJsonConverter")
            .getMethod("read", JsonNode.class, short.class).invoke(null, json, version);
        ByteBufferAccessor buffer = MessageUtil.toByteBufferAccessor(data, version);
        byte[] bytes = new byte[buffer.buffer().remaining()];
        buffer.buffer().get(bytes);
        return bytes;
    }

    ObjectNode message() {
        return struct(schema.get("fields"), 0);
    }

    ObjectNode struct(JsonNode fields, int depth) {
        ObjectNode node = MAPPER.createObjectNode();
        for (JsonNode field : fields) {
            if (!within(field.path("versions").asText(), version)) continue;
            String name = field.get("name").asText();
            String key = Character.toLowerCase(name.charAt(0)) + name.substring(1);
            node.set(key, value(name, field, depth));
        }
        return node;
    }

    JsonNode value(String name, JsonNode field, int depth) {
        String type = field.get("type").asText();
        // A broker must never send null here, though the schema allows it.
        boolean fetched = type.equals("records") && schema.get("name").asText().equals("FetchResponse");
        if (sparse && fetched) return TextNode.valueOf("");
        if (sparse && within(field.path("nullableVersions").asText(""), version)) return NullNode.getInstance();
        if (sparse && field.has("tag")) return defaultOf(type, field);
        if (!type.startsWith("[]")) return single(name, type, field, depth);
        ArrayNode array = MAPPER.createArrayNode();
        for (int i = 0; i < (sparse || depth > 1 ? 1 : 2); i++) array.add(single(name, type.substring(2), field, depth));
        return array;
    }

    JsonNode single(String name, String type, JsonNode field, int depth) {
        int n = ++count;
        switch (type) {
            case "bool": return BooleanNode.valueOf(n % 2 == 0);
            case "int8": return IntNode.valueOf(n);
            case "int16": return IntNode.valueOf(name.endsWith("ErrorCode") ? n : 1000 + n);
            case "uint16": return IntNode.valueOf(50_000 + n);
            case "int32": return IntNode.valueOf(100_000 + n);
            case "int64": return LongNode.valueOf(10_000_000_000L + n);
            case "string": return TextNode.valueOf(name + n);
            case "uuid": return TextNode.valueOf(new Uuid(0x0123456789abcdefL, n).toString());
            case "bytes": return TextNode.valueOf(n % 2 == 0 ? "Ynl0ZXMh" : "b25l");
            case "records": return TextNode.valueOf("cmVjb3Jk");
            case "float64": return DoubleNode.valueOf(n + 0.5);
            default: return struct(fieldsOf(type, field), depth + 1);
        }
    }

    JsonNode defaultOf(String type, JsonNode field) {
        String text = field.path("default").asText("");
        if (type.startsWith("[]")) return MAPPER.createArrayNode();
        switch (type) {
            case "bool": return BooleanNode.valueOf(text.equals("true"));
            case "int8": case "int16": case "int32": return IntNode.valueOf(text.isEmpty() ? 0 : Integer.decode(text));
            case "int64": return LongNode.valueOf(text.isEmpty() ? 0 : Long.decode(text));
            case "uuid": return TextNode.valueOf(Uuid.ZERO_UUID.toString());
        }
        ObjectNode node = MAPPER.createObjectNode();
        for (JsonNode inner : fieldsOf(type, field)) {
            String name = inner.get("name").asText();
            String key = Character.toLowerCase(name.charAt(0)) + name.substring(1);
            node.set(key, defaultOf(inner.get("type").asText(), inner));
        }
        return node;
    }

    JsonNode fieldsOf(String type, JsonNode field) {
        if (field.has("fields")) return field.get("fields");
        for (JsonNode common : schema.path("commonStructs"))
            if (common.get("name").asText().equals(type)) return common.get("fields");
        throw new IllegalArgumentException("no struct " + type);
    }

    static boolean within(String range, int version) {
        if (range.isEmpty() || range.equals("none")) return false;
        if (range.endsWith("+")) return version >= Integer.parseInt(range.substring(0, range.length() - 1));
        String[] ends = range.split("-");
        return Integer.parseInt(ends[0]) <= version && version <= Integer.parseInt(ends[ends.length - 1]);
    }
}
