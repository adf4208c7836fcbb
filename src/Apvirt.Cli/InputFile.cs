namespace Apvirt.Cli;

/// <summary>Reads files that the user named, with a clear word when that fails.</summary>
internal static class InputFile
{
    internal static bool TryRead(string path, CommandIo io, out byte[] text)
    {
        text = [];
        try
        {
            text = File.ReadAllBytes(path);
            return true;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            string why = Directory.Exists(path) ? "this is a directory; expected a file"
                : File.Exists(path) ? problem.Message
                : "there is no such file";
            io.Error.WriteLine($"{path}:1:1: {why}");
            return false;
        }
    }

    /// <summary>The traces that paths name: files, and the *.jsonl files of directories.</summary>
    internal static bool TryFindTraces(string[] paths, CommandIo io, out List<string> files)
    {
        files = [];
        foreach (string path in paths)
        {
            if (!Directory.Exists(path))
            {
                files.Add(path);
                continue;
            }
            string[] found = Directory.GetFiles(path, "*.jsonl");
            if (found.Length == 0)
            {
                io.Error.WriteLine($"{path}: no traces in this directory; expected files that end in .jsonl");
                return false;
            }
            files.AddRange(found.Order(StringComparer.Ordinal));
        }
        return true;
    }
}
