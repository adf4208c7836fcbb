using System.Text.RegularExpressions;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>The rules that texts are read for, as functions: each says what breaks it, and where.</summary>
internal static partial class Rules
{
    internal const int LinesMax = 450;

    /// <summary>Where the scheduler of production meets the machine.</summary>
    internal const string ProductionRuntime = "src/Apvirt.Kernel/Runtime/ProductionRuntime.cs";

    private static readonly string[] OfProductionRuntime = ["ThreadPool", "TimeProvider.System"];

    /// <summary>Time, randomness and threads come from the runtime that a kernel runs on.</summary>
    internal static IEnumerable<string> Ambient(string path, string text)
    {
        string code = SourceText.WithoutComments(text);
        return from Match call in AmbientPattern().Matches(code)
               where path != ProductionRuntime || !OfProductionRuntime.Contains(call.Value)
               select $"{path}({SourceText.LineOf(code, call.Index)}): {call.Value}";
    }

    /// <summary>What is merged is finished.</summary>
    internal static IEnumerable<string> UnfinishedMarks(string path, string text) =>
        from Match mark in UnfinishedPattern().Matches(text)
        select $"{path}({SourceText.LineOf(text, mark.Index)}): {mark.Value}";

    /// <summary>A file holds one idea.</summary>
    internal static IEnumerable<string> LongFiles(string path, string text)
    {
        int lines = text.AsSpan().Count('\n');
        return lines > LinesMax ? [$"{path}: {lines} lines, expected at most {LinesMax}"] : [];
    }

    /// <summary>A folder is a namespace. Only a file that declares nothing (assembly attributes) may have none.</summary>
    internal static IEnumerable<string> Namespaces(string path, string text)
    {
        string code = SourceText.WithoutComments(text);
        string expected = string.Join('.', path.Split('/')[1..^1]);
        Match declared = NamespacePattern().Match(code);
        if (declared.Success)
            return declared.Groups["name"].Value == expected ? [] : [$"{path}: namespace {declared.Groups["name"].Value}, expected {expected}"];
        return DeclarationPattern().IsMatch(code) ? [$"{path}: no namespace, expected {expected}"] : [];
    }

    /// <summary>A layer references only those before it.</summary>
    internal static IEnumerable<string> References(string layer, string project)
    {
        int own = Array.IndexOf(SourceTree.Layers, layer);
        return from Match reference in ReferencePattern().Matches(project)
               let other = reference.Groups["name"].Value
               let place = Array.IndexOf(SourceTree.Layers, other.Replace("Apvirt.", "", StringComparison.Ordinal))
               where place < 0 || place >= own
               select $"src/Apvirt.{layer}/Apvirt.{layer}.csproj: references {other}, expected only {string.Join(", ", SourceTree.Layers[..own])}";
    }

    /// <summary>A project outside the table of layers would escape every rule.</summary>
    internal static IEnumerable<string> UnknownLayers(IEnumerable<string> folders) =>
        from folder in folders
        where !SourceTree.Layers.Contains(folder.Replace("Apvirt.", "", StringComparison.Ordinal))
        select $"src/{folder}: not in the table of layers";

    /// <summary>A checkout works anywhere, so no file names the place where one machine keeps it.</summary>
    internal static IEnumerable<string> MachinePaths(string path, string text, IEnumerable<string> folders) =>
        from folder in folders
        from Match match in Regex.Matches(text, $@"(?<![\w./-]){Regex.Escape(folder)}(?![\w.-])")
        select $"{path}({SourceText.LineOf(text, match.Index)}): {folder}";

    [GeneratedRegex(@"\bDateTime(Offset)?\.(Utc)?Now\b|\bDateTime\.Today\b|\bStopwatch\b|\bRandom\.Shared\b|\bnew Random\(|\bRandom\s+\w+\s*=\s*new\(|\bTask\.(Run|Delay)\b|\bTask\.Factory\b|\bnew Thread\(|\bThread\.Sleep\b|\bGuid\.(NewGuid|CreateVersion7)\b|\bEnvironment\.TickCount(64)?\b|\bConfigureAwait\b|\bAsyncLocal\b|\bThread(Static|Local)\b|\bThreadPool\b|\bTimeProvider\.System\b|\bParallel\.")]
    private static partial Regex AmbientPattern();

    [GeneratedRegex(@"\bNotImplementedException\b|\bTODO\b|\bFIXME\b|\bHACK\b")]
    private static partial Regex UnfinishedPattern();

    [GeneratedRegex(@"^\s*namespace\s+(?<name>[\w.]+)", RegexOptions.Multiline)]
    private static partial Regex NamespacePattern();

    [GeneratedRegex(@"\b(class|struct|interface|enum|record|delegate)\b")]
    private static partial Regex DeclarationPattern();

    [GeneratedRegex(@"<ProjectReference\s+Include=""[^""]*?(?<name>[\w.]+)\.csproj""")]
    private static partial Regex ReferencePattern();
}
