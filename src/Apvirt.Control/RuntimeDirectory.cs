namespace Apvirt.Control;

/// <summary>
/// Whether a directory is its user's alone. Whoever could have made it, or could exchange it or anything above it, could listen
/// there in the place of a host.
/// </summary>
internal static class RuntimeDirectory
{
    private const int LinksMax = 40;

    /// <summary>Looks at a directory and, from the root downwards, at all that leads to it, links included.</summary>
    /// <param name="directory">A full path.</param>
    /// <returns>What is wrong, where, and what was expected; null if nothing is, as far as the path exists.</returns>
    internal static string? Examine(string directory)
    {
        try
        {
            return Walk(directory);
        }
        catch (IOException problem)
        {
            return problem.Message;
        }
    }

    private static string? Walk(string directory)
    {
        Stack<string> ahead = new();
        Push(ahead, directory);
        string at = "/";
        for (int links = 0; LibC.TryStat(at, out FileStatus status);)
        {
            // Only the directory itself has nothing ahead: where a link leads, the names after the link follow.
            if (ahead.Count == 0)
            {
                bool isOurs = status.IsDirectory && status.User == LibC.EffectiveUser() && status.IsPrivate;
                return isOurs ? null : Problem(at, status, $"a directory of uid {LibC.EffectiveUser()} with mode 0700");
            }
            if (!Users.IsTrusted(status.User) || !(status.IsLink || (status.IsDirectory && !status.IsOpen)) || (status.IsLink && ++links > LinksMax))
            {
                return Problem(
                    at, status,
                    $"above the runtime directory {directory} only what belongs to {Users.Expected}, with directories that others cannot write to unless they are sticky");
            }
            if (status.IsLink)
            {
                string target = new FileInfo(at).LinkTarget ?? throw new IOException($"{at}: the link changes");
                at = target.StartsWith('/') ? "/" : Path.GetDirectoryName(at)!;
                Push(ahead, target);
            }
            at = ahead.Pop() switch
            {
                ".." => Path.GetDirectoryName(at) ?? "/",
                string name => Path.Combine(at, name),
            };
        }
        return null;
    }

    private static void Push(Stack<string> ahead, string path)
    {
        foreach (string name in path.Split('/').Reverse().Where(name => name is not ("" or ".")))
            ahead.Push(name);
    }

    private static string Problem(string path, FileStatus found, string expected) => $"{path}: found {found}, expected {expected}";
}
