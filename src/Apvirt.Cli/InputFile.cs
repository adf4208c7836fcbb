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
}
