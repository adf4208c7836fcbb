using System.Globalization;
using Apvirt.Ap.Architecture;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Apvirt.Host.Description;

/// <summary>Collects what is wrong, with places.</summary>
internal sealed class ErrorList(string file)
{
    internal List<DescriptionError> Errors { get; } = [];

    internal void Add(Mark at, string message) => Errors.Add(new DescriptionError(file, (int)at.Line, (int)at.Column, message));
}

/// <summary>
/// A mapping of the file, read key by key. Each reader says what it expects; keys that nobody asked for are errors, with
/// the nearest known key named.
/// </summary>
internal sealed class YamlMap
{
    private const int NearEnough = 2;

    private readonly ErrorList _errors;
    private readonly Dictionary<string, (YamlNode Key, YamlNode Value)> _entries = new(StringComparer.Ordinal);
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);
    private readonly string _what;

    internal YamlMap(YamlNode node, string what, ErrorList errors)
    {
        _errors = errors;
        _what = what;
        Node = node;
        if (node is not YamlMappingNode mapping)
        {
            errors.Add(node.Start, $"{what}: expected keys with values, such as \"key: value\"");
            return;
        }
        foreach ((YamlNode key, YamlNode value) in mapping.Children)
        {
            if (key is YamlScalarNode { Value: { } name })
                _entries[name] = (key, value);
            else
                errors.Add(key.Start, $"{what}: expected a simple key");
        }
    }

    internal YamlNode Node { get; }

    internal Mark Start => Node.Start;

    internal bool Has(string key) => _entries.ContainsKey(key);

    internal Mark At(string key) => _entries.TryGetValue(key, out var entry) ? entry.Value.Start : Start;

    internal void Fail(string key, string message) => _errors.Add(At(key), message);

    internal string? Text(string key, string expected)
    {
        if (Find(key) is not { } value)
            return null;
        if (value is YamlScalarNode { Value: { Length: > 0 } text })
            return text;
        Fail(key, $"{key}: expected {expected}");
        return null;
    }

    internal bool Flag(string key, bool otherwise)
    {
        if (Text(key, "true or false") is not { } text)
            return otherwise;
        if (text is "true" or "false")
            return text == "true";
        Fail(key, $"{key}: \"{text}\" is neither true nor false; expected true or false");
        return otherwise;
    }

    internal int Number(string key, int min, int max, int otherwise)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max}");
        if (Text(key, expected) is not { } text)
            return otherwise;
        bool isHex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        if (int.TryParse(isHex ? text.AsSpan(2) : text, isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            && number >= min && number <= max)
        {
            return number;
        }
        Fail(key, $"{key}: \"{text}\" is not {expected}");
        return otherwise;
    }

    /// <summary>A list of ids and ranges, or a single one.</summary>
    internal ApMask? Ids(string key)
    {
        if (Find(key) is not { } value)
            return null;
        ApMask ids = ApMask.None;
        IEnumerable<YamlNode> items = value is YamlSequenceNode list ? list.Children : [value];
        foreach (YamlNode item in items)
        {
            if (item is YamlScalarNode { Value: { } text } && IdList.TryParse(text, out ApMask some))
                ids |= some;
            else
                _errors.Add(item.Start, $"{key}: {Quote(item)} is not an id; expected {IdList.Expected}");
        }
        return ids;
    }

    /// <summary>A list of texts, or a single one.</summary>
    internal IEnumerable<string> Texts(string key, string expected)
    {
        if (Find(key) is not { } value)
            return [];
        List<string> texts = [];
        foreach (YamlNode item in value is YamlSequenceNode list ? list.Children : (IEnumerable<YamlNode>)[value])
        {
            if (item is YamlScalarNode { Value: { Length: > 0 } text })
                texts.Add(text);
            else
                _errors.Add(item.Start, $"{key}: {Quote(item)} is not a name; expected {expected}");
        }
        return texts;
    }

    /// <summary>The maps of a list.</summary>
    internal IEnumerable<YamlMap> List(string key, string itemName)
    {
        if (Find(key) is not { } value)
            return [];
        if (value is YamlSequenceNode list)
            return [.. list.Children.Select(item => new YamlMap(item, itemName, _errors))];
        Fail(key, $"{key}: expected a list, each item begun with \"- \"");
        return [];
    }

    internal YamlMap? Map(string key) => Find(key) is { } value ? new YamlMap(value, key, _errors) : null;

    internal void Require(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            if (Node is YamlMappingNode && !_entries.ContainsKey(key))
                _errors.Add(Start, $"{_what}: the key \"{key}\" is missing");
        }
    }

    /// <summary>To be called when every known key was asked for.</summary>
    internal void RefuseOthers()
    {
        foreach ((string name, (YamlNode key, _)) in _entries)
        {
            if (_asked.Contains(name))
                continue;
            string? near = _asked.Where(known => Distance(known, name) <= NearEnough).MinBy(known => Distance(known, name));
            string hint = near is null
                ? $"expected one of {string.Join(", ", _asked.Order(StringComparer.Ordinal))}"
                : $"did you mean \"{near}\"?";
            _errors.Add(key.Start, $"{_what}: the key \"{name}\" is not known; {hint}");
        }
    }

    private static string Quote(YamlNode node) => node is YamlScalarNode scalar ? $"\"{scalar.Value}\"" : "this";

    private YamlNode? Find(string key)
    {
        _asked.Add(key);
        return _entries.TryGetValue(key, out var entry) ? entry.Value : null;
    }

    // Edit distance; names are short.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(above, row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }
        return row[^1];
    }
}
