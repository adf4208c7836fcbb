using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Host.Explaining;

/// <summary>A sysfs tree to read from: a directory of this machine, a mount, a copy, or a host in memory.</summary>
public interface ISysfsSource
{
    /// <summary>Text of an attribute without its last line end; null if there is none that can be read.</summary>
    /// <param name="path">Path below the tree's top, such as <c>bus/ap/apmask</c>.</param>
    string? Read(string path);

    /// <summary>Names in a directory; empty if there is none.</summary>
    /// <param name="path">Path below the tree's top.</param>
    IReadOnlyList<string> List(string path);

    /// <summary>Last name of what a link leads to; null if there is no such link.</summary>
    /// <param name="path">Path below the tree's top.</param>
    string? LinkTarget(string path);
}

/// <summary>A tree of files.</summary>
/// <param name="top">Its top, such as <c>/sys</c>.</param>
public sealed class DirectorySource(string top) : ISysfsSource
{
    /// <inheritdoc/>
    public string? Read(string path)
    {
        try
        {
            return File.ReadAllText(Path.Combine(top, path)).TrimEnd('\n');
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> List(string path)
    {
        string directory = Path.Combine(top, path);
        return Directory.Exists(directory)
            ? [.. Directory.EnumerateFileSystemEntries(directory).Select(entry => Path.GetFileName(entry)).Order(StringComparer.Ordinal)]
            : [];
    }

    /// <inheritdoc/>
    public string? LinkTarget(string path) =>
        new FileInfo(Path.Combine(top, path)).LinkTarget is { } target ? Path.GetFileName(target) : null;
}

/// <summary>A host in memory.</summary>
/// <param name="tree">Its tree.</param>
/// <param name="show">Shows an attribute in whatever time the host lives: the error, and the text.</param>
public sealed class TreeSource(SysfsTree tree, Func<string, SysfsText, Errno> show) : ISysfsSource
{
    /// <inheritdoc/>
    public string? Read(string path)
    {
        SysfsText text = new();
        return show("/sys/" + path, text) == Errno.Ok ? Encoding.ASCII.GetString(text.Bytes).TrimEnd('\n') : null;
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> List(string path) =>
        tree.Find("/sys/" + path, out SysfsEntry entry) == Errno.Ok && entry.Kind == SysfsEntryKind.Directory
            ? [.. entry.Directory.List().Select(e => e.Name).Order(StringComparer.Ordinal)]
            : [];

    /// <inheritdoc/>
    public string? LinkTarget(string path) =>
        tree.Find("/sys/" + path, out SysfsEntry entry, followLast: false) == Errno.Ok && entry.Kind == SysfsEntryKind.Link
            ? entry.Directory.Name
            : null;
}
