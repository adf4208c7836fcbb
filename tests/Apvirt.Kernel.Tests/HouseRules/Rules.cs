using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>The rules of the house as functions: each says what breaks it.</summary>
internal static partial class Rules
{
    private const int LongestFile = 450;
    private const string ProductionRuntime = "src/Apvirt.Kernel/Runtime/ProductionRuntime.cs";

    /// <summary>Time, randomness and threads come from the runtime.</summary>
    internal static IEnumerable<string> Ambient(string path, string text) =>
        AmbientPattern().Matches(text)
            .Where(m => path != ProductionRuntime || m.Value is not ("ThreadPool." or "TimeProvider.System"))
            .Select(m => $"{path}: {m.Value}");

    internal static IEnumerable<string> UnfinishedMarks(string path, string text) =>
        UnfinishedPattern().Matches(text).Select(m => $"{path}: {m.Value}");

    internal static IEnumerable<string> LongFiles(string path, string text) =>
        text.Count(c => c == '\n') > LongestFile ? [$"{path}: more than {LongestFile} lines"] : [];

    /// <summary>A folder is a namespace.</summary>
    internal static IEnumerable<string> Namespaces(string path, string text)
    {
        Match declared = NamespacePattern().Match(text);
        string expected = string.Join('.', path.Split('/')[1..^1]);
        return !declared.Success || declared.Groups["name"].Value == expected ? [] : [$"{path}: expected namespace {expected}"];
    }

    /// <summary>A layer references only those before it.</summary>
    internal static IEnumerable<string> References(string layer, string project)
    {
        int own = Array.IndexOf(SourceTree.Layers, layer);
        return ReferencePattern().Matches(project)
            .Select(m => m.Groups["layer"].Value)
            .Where(other => Array.IndexOf(SourceTree.Layers, other) is int place && (place < 0 || place >= own))
            .Select(other => $"{layer} references {other}");
    }

    /// <summary>Nothing static can change.</summary>
    internal static IEnumerable<string> StaticState(IEnumerable<Type> types) =>
        from type in types
        where !type.IsDefined(typeof(CompilerGeneratedAttribute)) && !type.Name.Contains('<')
        from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        where !field.IsLiteral && (!field.IsInitOnly || IsMutableCollection(field.FieldType))
        where !field.Name.StartsWith("<>", StringComparison.Ordinal)
        select $"{type.FullName}.{field.Name}";

    private static bool IsMutableCollection(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() is { } open
        && (open == typeof(List<>) || open == typeof(Dictionary<,>) || open == typeof(HashSet<>) || open == typeof(Queue<>) || open == typeof(Stack<>));

    [GeneratedRegex(@"DateTime(Offset)?\.(Utc)?Now|Stopwatch|Random\.Shared|new Random\(|Task\.Run\(|Task\.Delay\(|new Thread\(|Thread\.Sleep|Guid\.NewGuid|Environment\.TickCount|ConfigureAwait|AsyncLocal|ThreadStatic|ThreadPool\.|TimeProvider\.System|Parallel\.")]
    private static partial Regex AmbientPattern();

    [GeneratedRegex(@"NotImplementedException|\bTODO\b|\bFIXME\b|\bHACK\b")]
    private static partial Regex UnfinishedPattern();

    [GeneratedRegex(@"^namespace (?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex NamespacePattern();

    [GeneratedRegex(@"Apvirt\.\w+/Apvirt\.(?<layer>\w+)\.csproj")]
    private static partial Regex ReferencePattern();
}
